"""Locks of workflows: writing, refusing, taking over, verifying."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path

import pytest

import graphflow as package
from tests.cli.commands import PACK, Command

LORA = Path(package.__file__).parent / "assets" / "loras" / "shapes-outline.safetensors"
MERGED = {
    "graphflow": 2,
    "inputs": {"seed": {"to": ["noise.seed"]}},
    "nodes": {
        "checkpoint": {"type": "load_checkpoint", "params": {"model": "shapes"}},
        "style": {"type": "apply_lora", "params": {"lora": "style"}, "links": {"model": "checkpoint.model"}},
        "show": {"type": "show", "links": {"value": "style.model"}},
        "grey": {"type": "solid_image", "params": {"width": 32, "height": 16}},
        "noise": {"type": "add_image_noise", "params": {"seed": 3}, "links": {"images": "grey"}},
        "save": {"type": "save_image", "params": {"filename_prefix": "noise"}, "links": {"images": "noise"}},
    },
}


@pytest.fixture
def locked(graphflow: Command, home: Path) -> Path:
    """A workflow with a lock beside it, and a LoRA in the model folder."""
    (home / "models" / "loras").mkdir()
    shutil.copy(LORA, home / "models" / "loras" / "style.safetensors")
    Path("mine.json").write_text(json.dumps(MERGED), "utf-8")
    assert graphflow("lock", "mine.json").code == 0
    return Path("mine.lock.json")


def another_lora(home: Path) -> None:
    data = bytearray(LORA.read_bytes())
    data[-1] ^= 1
    (home / "models" / "loras" / "style.safetensors").write_bytes(data)


def test_a_lock_is_the_same_text_for_the_same_files(graphflow: Command, locked: Path) -> None:
    before = locked.read_bytes()
    assert graphflow("lock", "mine.json").code == 2  # it is there
    assert graphflow("lock", "mine.json", "--force").code == 0
    assert locked.read_bytes() == before
    data = json.loads(before)
    assert data["models"]["shapes"]["packaged"] is True
    assert data["numerics"] == {"device": "cpu", "compute": "float32", "storage": "file", "deterministic": "off"}
    assert graphflow("run", "mine.json", "--locked", "--target", "save").code == 0


def test_every_difference_is_told_and_nothing_runs(graphflow: Command, locked: Path, home: Path) -> None:
    data = json.loads(locked.read_text("utf-8"))
    data["versions"]["torch"] = "1.0"
    data["numerics"]["compute"] = "float16"
    data["node_types"]["add_image_noise"] = 99
    locked.write_text(json.dumps(data), "utf-8")
    another_lora(home)
    ran = graphflow("run", "mine.json", "--locked")
    assert ran.code == 2 and not Path("out").exists()
    for place in (
        "models.style.files.style.safetensors: SHA-256",
        "numerics.compute: float16 is",
        "node_types.add_image_noise: 99 is",
        "versions.torch: 1.0",
    ):
        assert place in ran.err
    assert "4 problems" in ran.err and "graphflow lock --update style" in ran.err
    assert graphflow("run", "mine.json", "--locked", "--dtype", "float16").err.count("is locked") == 3
    assert graphflow("lock", "mine.json", "--update", "style", "--update", "versions").code == 0
    told = graphflow("run", "mine.json", "--locked").err
    assert "1 problem" in told and "numerics.compute" in told
    wrong = graphflow("lock", "mine.json", "--update", "stile")
    assert wrong.code == 2 and "did you mean 'style'?" in wrong.err


def test_a_packaged_model_that_is_another_is_not_called_here(graphflow: Command, locked: Path) -> None:
    data = json.loads(locked.read_text("utf-8"))
    file = next(iter(data["models"]["shapes"]["files"].values()))
    file["sha256"] = "0" * 64
    locked.write_text(json.dumps(data), "utf-8")
    ran = graphflow("fetch", "mine.json", "--locked")
    assert ran.code == 2 and "'shapes' comes with graphflow, and here it is another" in ran.err


def test_the_versions_of_a_lock_are_requirements(graphflow: Command, locked: Path) -> None:
    data = json.loads(locked.read_text("utf-8"))
    data["versions"] = {"python": "3.12", "graphflow": "0.1.0", "torch": "2.9.1+cu130"}
    locked.write_text(json.dumps(data), "utf-8")
    ran = graphflow("env", locked)
    assert ran.out.splitlines() == [
        "# Python 3.12",
        "graphflow-diffusers==0.1.0",
        "# torch was the build 'cu130'",
        "torch==2.9.1",
    ]


def test_the_package_of_a_node_pack_is_a_requirement(
    graphflow: Command, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine:
        name, version = "graphflow-mine", "1.2"

    found = importlib.metadata.entry_points
    entry = importlib.metadata.EntryPoint("mine", "tests.cli.pack", "graphflow.nodes")
    vars(entry)["dist"] = Mine
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **given: [*found(**given), entry])
    assert graphflow("lock", chain).code == 0
    assert "graphflow-mine==1.2" in graphflow("env", "chain.lock.json").out.splitlines()


def test_results_are_locked_and_verified(graphflow: Command, locked: Path) -> None:
    assert graphflow("lock", "mine.json", "--force", "--results", "-i", "seed=5", "--target", "save").code == 0
    good = graphflow("verify", locked)
    assert (good.code, good.out) == (0, "mine.lock.json: save: 1 of 1 results the same\n")
    text = Path("mine.json").read_text("utf-8")
    Path("mine.json").write_text(text.replace('"width": 32', '"width": 40'), "utf-8")
    bad = graphflow("verify", locked)
    assert bad.code == 1 and "0 of 1 results the same" in bad.out


@pytest.mark.parametrize("text", ["{}", "[", '{"graphflow_lock": 1, "workflow": "a", "models": {"x": 3}}'])
def test_what_is_no_lock(graphflow: Command, text: str) -> None:
    Path("bad.lock.json").write_text(text, "utf-8")
    ran = graphflow("env", "bad.lock.json")
    assert ran.code == 2 and "bad.lock.json" in ran.err and "bug" not in ran.err
    Path("bad.json").write_text(json.dumps(MERGED), "utf-8")
    assert graphflow("run", "gone.json", "--locked").code == 2
    assert "there is no lock" in graphflow("run", "txt2img", "--locked").err


def test_a_lock_of_somebody_else_names_no_files(graphflow: Command, locked: Path, tmp_path: Path) -> None:
    data = json.loads(locked.read_text("utf-8"))
    data["overrides"] = {"style.lora": str(LORA)}
    data["results"] = {"save": ["0" * 64]}
    locked.write_text(json.dumps(data), "utf-8")
    ran = graphflow("verify", locked)
    assert ran.code == 1 and "cannot be run" in ran.out and "nodes.style.params.lora" in ran.err


def test_what_a_lock_names_is_pinned_and_stays(graphflow: Command, packed: Command, chain: Path) -> None:
    assert packed("run", chain).code == 0
    assert packed("run", chain, "-i", "seed=8").code == 0
    assert packed("lock", chain).code == 0
    listed = json.loads(graphflow("cache", "list", "--json").out)
    assert [(row["workflow"], row["node"], row["type"], row["results"]) for row in listed] == [
        ("chain", "add", "pack_add", 2),
        ("chain", "draw", "pack_draw", 2),
        ("chain", "save", "pack_save", 4),  # the file, and the list of files
    ]
    pinned = graphflow("cache", "pin", "chain.lock.json", "--nodes", PACK)
    assert pinned.out == "pinned 4 results\n"
    assert graphflow("cache", "prune", "--older", "0m").code == 0
    assert {row["results"] for row in json.loads(graphflow("cache", "list", "--json").out)} == {1, 2}
    assert graphflow("cache", "clear", "--yes").code == 0
    again = packed("run", chain, "--out", "elsewhere")
    assert "nothing had to run" in again.out and "1 file copied from the store" in again.out
    assert graphflow("cache", "unpin", "chain.lock.json").code == 0
    assert graphflow("cache", "clear", "--yes").code == 0
    assert json.loads(graphflow("cache", "list", "--json").out) == []
    for line in (("unpin", "chain.lock.json"), ("prune", "--older", "soon"), ("pin", "gone.lock.json")):
        wrong = graphflow("cache", *line)
        assert wrong.code == 2 and "bug" not in wrong.err
