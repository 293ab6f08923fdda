"""What 0.1.0 exported runs and draws what its pictures show: scripts, a notebook, builder code, ComfyUI files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphflow import Session, Workflow
from graphflow.settings import Settings
from tests.conftest import ROOT
from tests.fresh import Fresh
from tests.frozen.conftest import Command
from tests.frozen.fixtures import DOCUMENTS, FROZEN, PICTURES, assert_same_pictures, meaning

SCRIPTS = FROZEN / "scripts"
BUILDER = FROZEN / "builder"
CODE = {"controlnet": "packaged/controlnet", "prompt_schedule": "packaged/prompt_schedule"}
"""The documents that builder code was made of, where they are not called as it is."""
PLACES = {"/opt/site/graphflow/assets": ROOT / "graphflow" / "assets", "/opt/run/1": FROZEN}
"""Where the packaged models and the pictures lay when the scripts were written."""


def placed(text: str) -> str:
    """Return code with the folders of this machine."""
    for old, new in PLACES.items():
        text = text.replace(old, new.as_posix())
    return text


@pytest.mark.parametrize("case", sorted(path.stem for path in SCRIPTS.glob("*.py")))
def test_a_script_draws_the_picture(case: str, fresh: Fresh, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(placed((SCRIPTS / f"{case}.py").read_text("utf-8")), "utf-8")
    done = fresh.run(script, "--out", tmp_path / "out", env={"CUDA_VISIBLE_DEVICES": ""})
    assert done.code == 0, done.err[-2000:]
    assert_same_pictures(tmp_path / "out", PICTURES / case, named=False)


def test_a_notebook_draws_the_picture(fresh: Fresh, tmp_path: Path) -> None:
    notebook = json.loads((SCRIPTS / "txt2img.ipynb").read_text("utf-8"))
    cells = [placed("".join(cell["source"])) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    program = f"space = {{}}\nfor cell in {cells!r}:\n    exec(cell, space)\n"
    done = fresh.execute(program, cwd=tmp_path, env={"CUDA_VISIBLE_DEVICES": ""})
    assert done.code == 0, done.err[-2000:]
    assert_same_pictures(tmp_path / "out", PICTURES / "txt2img", named=False)


def unversioned(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose nodes are of no version: code builds those of today's."""
    nodes = {id: {**entry, "version": None} for id, entry in document["nodes"].items()}
    inner = {name: unversioned(other) for name, other in document.get("workflows", {}).items()}
    return {**document, "nodes": nodes, "workflows": inner}


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILDER.glob("*.py")))
def test_builder_code_builds_its_document(name: str, tmp_path: Path) -> None:
    space: dict[str, Any] = {}
    exec(compile((BUILDER / f"{name}.py").read_text("utf-8"), name, "exec"), space)
    path = DOCUMENTS / f"{CODE.get(name, name)}.json"
    assert unversioned(space["g"].to_json()) == unversioned(Workflow.load(path).to_json())
    settings = Settings(device="cpu", dtype="float32", cache_dir=tmp_path, offline=True, models=())
    session = Session(settings)
    if "random" not in name:
        plans = [session.plan(workflow, folder=path.parent) for workflow in (space["g"], Workflow.load(path))]
        assert meaning(plans[0]) == meaning(plans[1])


@pytest.mark.parametrize("case", ["txt2img", "lora"])
@pytest.mark.parametrize("form", ["comfyui", "comfyui-ui"])
def test_a_comfyui_file_draws_the_picture(case: str, form: str, graphflow: Command, tmp_path: Path) -> None:
    graphflow("run", SCRIPTS / f"{case}.{form}.json", "--out", tmp_path)
    assert_same_pictures(tmp_path, PICTURES / case, cut=True)
