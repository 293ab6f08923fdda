"""``graphflow models convert``: tensors come out as they were, and nothing that a pickle holds is run."""

from __future__ import annotations

import warnings
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file

from tests.cli.commands import Command

MARK = Path("executed")


class Harmful:
    def __reduce__(self) -> object:
        return (MARK.write_text, ("executed",))


def test_tensors_come_out_as_they_were(graphflow: Command, home: Path) -> None:
    weight = torch.arange(16.0).reshape(4, 4).half()
    state = {"w": weight, "same": weight, "row": weight[1], "turned": weight.T}
    path = home / "models" / "checkpoints" / "old.ckpt"
    path.parent.mkdir()
    torch.save({"state_dict": state, "global_step": 7}, path)
    ran = graphflow("models", "convert", "old")
    assert ran.code == 0
    assert "4 tensors" in ran.out
    loaded = load_file(path.with_suffix(".safetensors"))
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    again = graphflow("models", "convert", path)
    assert again.code == 2
    assert "exists already" in again.err


def test_what_is_no_tensor_is_left_out_and_told(graphflow: Command) -> None:
    torch.save({"w": torch.ones(2), "epoch": 3}, "mixed.pt")
    ran = graphflow("models", "convert", "./mixed.pt", "-o", "out/new.safetensors")
    assert ran.code == 0
    assert "left out what is no tensor: epoch" in ran.out
    assert load_file("out/new.safetensors").keys() == {"w"}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch says how slowly it checks sparse tensors
def test_what_safetensors_cannot_hold_is_left_out_and_told(graphflow: Command) -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    torch.save({"w": torch.ones(2), "sparse": torch.eye(3).to_sparse(), "endless": endless}, "mixed.pt")
    ran = graphflow("models", "convert", "./mixed.pt")
    assert ran.code == 0
    assert "left out what is no tensor: sparse, endless.again.again" in " ".join(ran.out.split())
    assert load_file("mixed.safetensors").keys() == {"w"}


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_said_to_be(graphflow: Command, zipped: bool) -> None:
    torch.save({"state_dict": {"w": torch.ones(3, 3)}}, "good.pt", _use_new_zipfile_serialization=zipped)
    good, random = Path("good.pt").read_bytes(), Random(1)
    for _ in range(60):
        damaged = bytearray(good[: random.choice([len(good), random.randrange(len(good))])])
        for _ in range(random.choice([1, 8]) if damaged else 0):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        Path("damaged.pt").write_bytes(damaged)
        Path("damaged.safetensors").unlink(missing_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch names the pickle protocols that it does not expect
            ran = graphflow("models", "convert", "./damaged.pt")
        assert ran.code == (0 if Path("damaged.safetensors").exists() else 2), bytes(damaged)
        assert "bug" not in ran.err


def test_code_in_a_pickle_is_refused_and_not_run(graphflow: Command) -> None:
    torch.save({"state_dict": {"w": Harmful()}}, "harmful.ckpt")
    ran = graphflow("models", "convert", "./harmful.ckpt")
    assert ran.code == 2
    assert "refused" in ran.err
    assert not MARK.exists() and not Path("harmful.safetensors").exists()


def test_files_that_are_none(graphflow: Command) -> None:
    Path("junk.ckpt").write_bytes(b"nothing")
    torch.save({"epoch": 3}, "empty.ckpt")
    Path("new.safetensors").write_bytes(b"")
    for name, said in (
        ("junk.ckpt", "is damaged or holds more than tensors"),
        ("empty.ckpt", "no tensors"),
        ("new.safetensors", "no conversion"),
    ):
        ran = graphflow("models", "convert", f"./{name}")
        assert ran.code == 2, name
        assert said in ran.err
