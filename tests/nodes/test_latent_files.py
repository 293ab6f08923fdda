"""Latents in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save_file

from graphflow import nodes, runtime
from graphflow.basics.finite import NonFiniteError
from graphflow.errors import MediaError
from graphflow.values import Latent
from tests.nodes.fakes import Told


def written(tmp_path: Path, latent: Latent, **more: object) -> Path:
    (file,) = nodes.save_latent((latent,), **more).files  # type: ignore[arg-type]
    path = tmp_path / f"{file.stem}{file.suffix}"
    path.write_bytes(file.data)
    return path


def test_saving_and_loading_are_inverse(told: Told, tmp_path: Path) -> None:
    latent = Latent(samples=torch.randn(2, 4, 3, 5))
    path = written(tmp_path, latent)
    assert path.name == "graphflow.latent"
    assert torch.equal(nodes.load_latent(str(path)).samples, latent.samples)


def test_the_file_has_comfyui_s_form(tmp_path: Path) -> None:
    record = {"workflow": {"graphflow": 2}, "record": {"device": "cpu"}, "comfyui": {"prompt": {"1": {}}}}
    with runtime.using(Told().runtime(record=record)):
        path = written(tmp_path, Latent(samples=torch.ones(1, 4, 2, 2)))
        (tmp_path / "bare").mkdir()
        bare = written(tmp_path / "bare", Latent(samples=torch.ones(1, 4, 2, 2)), embed=False)
    tensors = load(path.read_bytes())
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "latent_tensor": (1, 4, 2, 2),
        "latent_format_version_0": (0,),
    }
    with safe_open(path, "pt") as opened:
        texts = opened.metadata()
    assert json.loads(texts["prompt"]) == {"1": {}}
    assert json.loads(texts["graphflow"]) == {"graphflow": 2}
    with safe_open(bare, "pt") as opened:
        assert not opened.metadata()


def test_files_without_the_mark_hold_scaled_latents(told: Told, tmp_path: Path) -> None:
    save_file({"latent_tensor": torch.full((1, 4, 2, 2), 0.18215)}, tmp_path / "old.latent")
    assert torch.allclose(nodes.load_latent(str(tmp_path / "old.latent")).samples, torch.ones(1, 4, 2, 2))


def test_a_mask_is_left_out_and_said_so(told: Told, tmp_path: Path) -> None:
    written(tmp_path, Latent(samples=torch.ones(1, 4, 2, 2), noise_mask=torch.ones(1, 2, 2)))
    assert "noise mask" in told.notices[0]


@pytest.mark.parametrize("content", [b"", b"\x08" + b"\0" * 7 + b"{}      ", b"not a latent file", b"\xff" * 64])
def test_what_is_no_latent_file_is_refused(told: Told, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.latent"
    path.write_bytes(content)
    with pytest.raises(MediaError):
        nodes.load_latent(str(path))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("other", torch.ones(1, 4, 2, 2)),
        ("latent_tensor", torch.ones(4, 2, 2)),
        ("latent_tensor", torch.ones(1, 4, 2, 2, dtype=torch.int32)),
        ("latent_tensor", torch.ones(0, 4, 2, 2)),
        ("latent_tensor", torch.full((1, 4, 2, 2), float("nan"))),
    ],
)
def test_other_tensors_are_refused(told: Told, tmp_path: Path, name: str, tensor: torch.Tensor) -> None:
    save_file({name: tensor}, tmp_path / "a.latent")
    with pytest.raises(MediaError):
        nodes.load_latent(str(tmp_path / "a.latent"))


def test_a_diverged_latent_is_not_saved(told: Told) -> None:
    with pytest.raises(NonFiniteError):
        nodes.save_latent((Latent(samples=torch.full((1, 4, 2, 2), float("inf"))),))


def test_each_batch_of_a_sequence_has_its_file(told: Told) -> None:
    files = nodes.save_latent((Latent(samples=torch.ones(1, 4, 2, 2)), Latent(samples=torch.ones(2, 4, 3, 3)))).files
    assert [file.stem for file in files] == ["graphflow-0", "graphflow-1"]
