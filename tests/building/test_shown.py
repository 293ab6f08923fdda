"""What workflows, plans, checks, results and pictures show of themselves, in a terminal and in a notebook."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
import torch

from graphflow import Link, Session, Workflow, runtime
from graphflow.document.document import Document, NodeEntry
from graphflow.document.drawing import draw
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from graphflow.values import EncodedFile, Files, Image
from tests import toys as toy
from tests.conftest import TOYS, NoModels, ToySession

EVIL = "<script>alert('&')</script>"


@node("shown_picture")
def picture(red: float = 1.0, count: int = 1) -> Image:
    """Make pictures of one colour."""
    if red > 1:
        runtime.current().notice(f"red is {red}")
    return Image(pixels=torch.tensor([red, 0.0, 0.0]).view(1, 3, 1, 1).expand(count, 3, 4, 6).contiguous())


@node("shown_save", effect=True)
def save(image: Image, name: str = "shown") -> Files:
    """Save a smaller picture, so that a test can tell the two."""
    stream = io.BytesIO()
    PIL.Image.fromarray(np.full((2, 2, 3), 9, np.uint8)).save(stream, "PNG")
    return Files(files=(EncodedFile(stem=name, suffix=".png", data=stream.getvalue()),))


@pytest.fixture
def session(toys: ToySession) -> Session:
    settings = Settings.model_validate({"models": (), "cache_dir": toys.folder / "cache"})
    return Session(settings, known=TOYS, functions=[picture, save], models=NoModels())


def graph() -> Workflow:
    g = Workflow("shown")
    model = g.add(toy.load, id="model")
    sampled = g.add(toy.sample, model=model, seed="random", id="sample")
    g.add(toy.write, x=g.add(toy.add, x=sampled, y=model, id="sum"), id="save")
    return g


def boxes(svg: str) -> dict[str, Any]:
    """Return the rectangle of each node."""
    found = {}
    for group in ElementTree.fromstring(svg).iterfind(".//{*}g"):
        shape, name = group.find("{*}rect"), group.find("{*}text")
        assert shape is not None and name is not None
        found[str(name.text)] = shape
    return found


def test_a_check_is_true_where_there_is_no_problem_and_tells_them_all() -> None:
    g = graph()
    session = Session(known=TOYS)
    good, bad = session.validate(g), g.validate({"sead": 1}, session=session)
    assert good and str(good) == "Checked: 4 nodes, no problem"
    g.document.nodes["sample"].params["steps"] = 0
    assert not bad and "inputs.sead: the workflow has no such input" in repr(bad)
    problems = repr(session.validate(g, {"sead": 1}))
    assert "2 problems" in problems and "nodes.sample.params.steps: must be ≥ 1, got 0" in problems


def test_a_plan_is_a_table_and_a_picture(toys: ToySession) -> None:
    g = graph()
    plan = g.plan(session=toys.fresh())
    rows = [line.split() for line in repr(plan).splitlines()]
    assert rows[0] == ["node", "type", "action", "why"]
    assert ["sample", "toy_sample", "run"] in [row[:3] for row in rows]
    assert "4 nodes: 3 to run, 1 to write" in repr(plan)
    html = plan._repr_html_()
    found = boxes(re.findall(r"<svg.*</svg>", html)[0])
    assert found["sample"].get("fill") == found["sum"].get("fill") != found["save"].get("fill")
    assert html.count("<tr>") == 5


def test_a_result_tells_what_it_has(toys: ToySession) -> None:
    result = toys.fresh().run(graph(), out=toys.out)
    seed = result.seeds["sample.seed"]
    assert result.ran == ["model", "sample", "sum", "save"]
    told = repr(result)
    assert told.startswith("Result: 3 nodes ran, 1 file written\n")
    assert f"seeds: sample.seed = {seed}" in told and f"files: {result.paths[0]}" in told
    again = toys.fresh().run(graph(), overrides={"sample.seed": seed}, out=toys.out)
    assert (again.ran, again.seeds) == ([], {})
    assert repr(again).startswith("Result: nothing had to run, 1 file up to date")
    assert again.images == []


def test_what_nodes_have_to_tell_stands_in_the_result(session: Session) -> None:
    g = Workflow()
    g.output("made", g.add(picture, red=2.0, id="made"))
    result = session.run(g)
    assert result.notices == ("made: red is 2.0",) and "note: made: red is 2.0" in repr(result)


def test_pictures_of_a_result_are_the_files_or_else_the_values(session: Session, tmp_path: Path) -> None:
    g = Workflow()
    made = g.add(picture, red=0.5, count=2, id="made")
    g.output("pictures", made)
    (first, second) = session.run(g).images
    assert first.size == second.size == (6, 4) and first.getpixel((0, 0)) == (128, 0, 0)
    assert [image.size for image in session.run(g, targets=["made"]).images] == [(6, 4)] * 2
    g.add(save, image=made)
    result = session.run(g, out=tmp_path)
    assert [image.size for image in result.images] == [(2, 2)]
    shown = result._repr_html_()
    assert shown.count("<img") == 1 and result.paths[0].name in shown
    result.paths[0].unlink()
    assert result.paths[0].name in result._repr_html_() and "<img" not in result._repr_html_()


def test_a_picture_shows_itself_small() -> None:
    html = Image(pixels=torch.rand(40, 3, 320, 160))._repr_html_()
    assert html.count("<img") == 32 and "… and 8 more" in html
    data = re.findall(r"base64,([^\"]+)", html)[0]
    assert PIL.Image.open(io.BytesIO(base64.b64decode(data))).size == (128, 256)
    assert "no numbers" in Image(pixels=torch.full((1, 3, 8, 8), torch.nan))._repr_html_()


def drawn(links: Mapping[str, list[str]]) -> dict[str, Any]:
    nodes = {name: NodeEntry(type=EVIL, links={"x": links[name]}) for name in links}
    return boxes(draw(Document(nodes=nodes)))


def test_every_node_stands_right_of_what_it_reads() -> None:
    links = {"e": ["a", "d"], "d": ["c.low"], "c": ["a", "b"], "b": [], "a": [], "f": ["a"], "g": []}
    places = {name: float(box.get("x")) for name, box in drawn(links).items()}
    assert places.keys() == links.keys()
    for name, sources in links.items():
        assert all(places[source.partition(".")[0]] < places[name] for source in sources)


def test_boxes_do_not_overlap() -> None:
    links = {f"n{i}": [f"n{j}" for j in range(i) if (i * j) % 3 == 1] for i in range(40)}
    corners = [[float(box.get(key)) for key in ("x", "y", "width", "height")] for box in drawn(links).values()]
    for i, (x, y, _, height) in enumerate(corners):
        for u, v, width, _ in corners[:i]:
            assert u + width <= x or x + width <= u or v + height <= y or y + height <= v


def test_invalid_and_large_graphs_are_drawn_or_told() -> None:
    assert drawn({"a": ["b"], "b": ["a"], "c": ["c", "nowhere", "a.."]}).keys() == {"a", "b", "c"}
    assert drawn({}) == {}
    chain = {f"n{i}": [f"n{i - 1}"] if i else [] for i in range(900)}
    assert len(drawn(chain)) == 900
    assert "too many" in draw(Document(nodes={f"n{i}": NodeEntry(type="t") for i in range(2000)}))


def test_text_of_a_document_never_becomes_markup(toys: ToySession) -> None:
    g = Workflow(EVIL)
    g.document.nodes["n"] = NodeEntry(type=EVIL, title=EVIL, params={"x": EVIL})
    assert EVIL not in g._repr_html_()
    g = Workflow()
    g.output("text", g.add(toy.text, value=EVIL, title=EVIL))
    g.output("sum", g.add(toy.total, parts=[Link("toy_text"), g.add(toy.text, value="b")]))
    plan = toys.fresh().plan(g, targets=["toy_text"])
    result = toys.fresh().run(g, targets=["toy_text"])
    assert "script" in result._repr_html_()
    assert EVIL not in plan._repr_html_() + result._repr_html_()
