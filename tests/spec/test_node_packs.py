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
from graphflow.errors import NodeError, WorkflowError
from graphflow.nodes import load_image, save_image
from graphflow.settings import Settings
from graphflow.spec.decorator import spec_of
from graphflow.spec.registry import from_file
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


FAULTY = '''
"""A pack with faults."""
from collections.abc import Sequence
from typing import Any, NamedTuple
from graphflow import node
from graphflow.values import Image, Mask

class Pair(NamedTuple):
    one: int
    other: Mask | None

def helper(x: Any) -> Any:
    return x / 0  # raised here

@node("number")
def number(x: int = 0) -> int: # number
    """Return a text."""
    return "none"

@node("picture", lane="device")
def picture(x: int = 0) -> Image: # picture
    """Return nothing."""

@node("pair")
def pair(x: int = 0) -> Pair: # pair
    """Return a plain tuple."""
    return (1, None)

@node("texts")
def texts(x: int = 0) -> list[str]:
    """Return a list, as it should."""
    return ["a"]

@node("many")
def many(x: int = 0) -> Sequence[int]:
    """Return a list as a sequence, as it may."""
    return [1, 2]

@node("more", map=True)
def more(x: int) -> int:
    """Add one."""
    return x + 1

@node("good_pair")
def good_pair(x: int = 0) -> Pair:
    """Return no mask, as it may."""
    return Pair(1, None)

@node("divided")
def divided(x: int = 0) -> int:
    """Divide by zero, in a helper."""
    return helper(x)

@node("divided_early", fold=True)
def divided_early(x: int = 0) -> int:
    """Divide by zero while planning."""
    return helper(x)

@node("number_early", fold=True)
def number_early(x: int = 0) -> int: # number_early
    """Return a text while planning."""
    return "none"
'''


@pytest.mark.parametrize(
    ("name", "said", "mark"),
    [
        ("number", r"number \({}\) returned str for its output 'value', which it declares as int", "# number"),
        (
            "picture",
            r"picture \({}\) returned NoneType for its output 'image', which it declares as image",
            "# picture",
        ),
        ("pair", r"pair \({}\) returned tuple for its output 'one', which it declares as int", "# pair"),
        ("number_early", r"number_early \({}\) returned str for its output 'value'", "# number_early"),
        ("divided", r"node 'divided' \(divided\): ZeroDivisionError: division by zero \(at {}\)", "# raised here"),
        ("divided_early", r"ZeroDivisionError: division by zero \(at {}\)", "# raised here"),
    ],
)
def test_a_fault_of_a_pack_is_said_to_be_the_pack_s(name: str, said: str, mark: str, tmp_path: Path) -> None:
    path = tmp_path / "faulty.py"
    path.write_text(FAULTY, "utf-8")
    line = next(number for number, text in enumerate(FAULTY.splitlines(), 1) if text.endswith(mark))
    if not mark.startswith("# raised"):
        line -= 1  # where the decorator stands
    functions = {spec_of(function).type: function for function in from_file(path)}
    session = Session(Settings(cache_dir=tmp_path / "cache"), functions=[*functions.values()])
    g = Workflow()
    g.output("texts", g.add(functions["texts"]))
    g.output("pair", g.add(functions["good_pair"]).one)
    g.output("more", g.add(functions["more"], x=g.add(functions["many"])))
    assert session.run(g).outputs == {"texts": ["a"], "pair": 1, "more": (2, 3)}
    g.output("x", g.add(functions[name], id=name))
    with pytest.raises((NodeError, WorkflowError), match=said.format(re.escape(f"{path}:{line}"))):
        session.run(g)


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
