"""The example node pack of the documents, run as the page says."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch

from graphflow import Session, Workflow
from graphflow.cli import main
from graphflow.errors import WorkflowError
from graphflow.nodes import load_image, save_image
from graphflow.spec.decorator import spec_of
from graphflow.values import Image
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "node_packs.md").read_text("utf-8")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work beside a copy of the examples."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHFLOW_DEVICE", "cpu")
    return tmp_path


def test_the_commands_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = re.search(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    assert block is not None
    for line in block[1].strip().splitlines():
        program, *arguments = shlex.split(line)
        assert program == "graphflow"
        assert main(arguments) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "standard deviation of the grain" in shown and "mean" in shown
    assert [path.name for path in Path("out").iterdir()] == ["film_00001.png"]


def test_the_python_code_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [code for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if "import sys" in code]
    assert len(blocks) == 1
    monkeypatch.setattr(sys, "path", list(sys.path))
    exec(compile(blocks[0], "node_packs.md", "exec"), {})
    assert len(list(Path("pictures").glob("film_*.png"))) == 2


def test_only_the_files_that_code_names_may_lie_anywhere(here: Path) -> None:
    picture = str((here / "docs" / "images" / "txt2img.png").resolve())
    g = Workflow()
    g.add(save_image, images=g.add(load_image, file=picture).image)
    session = Session()
    assert session.plan(g).count("write") == 1
    with pytest.raises(WorkflowError, match="leads out"):
        session.plan(Workflow.load(g.save("saved.json")), folder=here)


def test_the_signature_on_the_page_is_the_example_s() -> None:
    code = (ROOT / "docs" / "examples" / "film_pack.py").read_text("utf-8")
    shown = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if "@node" in block)
    assert shown.rstrip() in code


def test_a_node_is_tested_by_calling_it() -> None:
    place = importlib.util.spec_from_file_location("film_pack", ROOT / "docs" / "examples" / "film_pack.py")
    assert place is not None and place.loader is not None
    pack = importlib.util.module_from_spec(place)
    sys.modules["film_pack"] = pack  # annotations are resolved there
    place.loader.exec_module(pack)
    grey = Image(pixels=torch.full((2, 3, 8, 8), 0.5))
    grained = pack.film_grain(grey, strength=0.1, seed=3).pixels
    assert torch.equal(grained, pack.film_grain(grey, strength=0.1, seed=3).pixels)
    assert not torch.equal(grained, pack.film_grain(grey, strength=0.1, seed=4).pixels)
    assert torch.equal(grained[:, 0], grained[:, 1]) and torch.equal(grey.pixels, torch.full((2, 3, 8, 8), 0.5))
    assert pack.measure_brightness(grey).mean == pytest.approx(0.5)
    assert spec_of(pack.vignette).version == 2
    document = json.loads((ROOT / "docs" / "examples" / "film.json").read_text("utf-8"))
    assert document["nodes"]["vignette"]["version"] == 1  # the example opens an older document
