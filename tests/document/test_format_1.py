"""Documents of format 1, whose inputs have defaults, open in format 2, where a value stands in the node alone."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from graphflow import Workflow
from graphflow.cli import main
from graphflow.document.document import Document, from_bytes, parse
from graphflow.errors import InvalidInputError, WorkflowError
from tests.conftest import TOYS, ToySession


def old(default: Any = 20, sample: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a document of format 1: an input ``steps`` with a default, and one that says what its node says."""
    return {
        "graphflow": 1,
        "inputs": {
            "steps": {"to": ["sample.steps"], "default": default},
            "seed": {"to": ["sample.seed"], "default": 7},
        },
        "nodes": {"sample": {"type": "toy_sample", "params": {"model": 1.0, "seed": 7}, **(sample or {})}},
        "outputs": {"r": "sample"},
        **more,
    }


LITERAL = old(sample={"params": {"model": 1.0, "seed": 7, "steps": 30}})
LINK = old(sample={"params": {"model": 1.0, "seed": 7}, "links": {"steps": "sample"}})


def picture(**texts: str) -> bytes:
    """Return a PNG that carries texts."""
    carried = PngInfo()
    for keyword, text in texts.items():
        carried.add_text(keyword.replace("_", "."), text)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "png", pnginfo=carried)
    return file.getvalue()


def said(document: Document) -> dict[str, Any]:
    """Return what the node says, after a look that no default is left."""
    data = document.to_json()
    assert data["graphflow"] == 2 and "default" not in json.dumps(data)
    return {key: data["nodes"]["sample"].get(key, {}).get("steps") for key in ("params", "links")}


def test_a_default_fills_what_has_no_value_and_goes_where_it_says_the_same() -> None:
    before = json.dumps(data := old())
    document = parse(data)
    assert json.dumps(data) == before
    assert document.nodes["sample"].params == {"model": 1.0, "seed": 7, "steps": 20}
    assert said(document)["params"] == 20
    assert said(parse(old(None)))["params"] is None


@pytest.mark.parametrize(
    ("data", "place"), [(LITERAL, "nodes.sample.params.steps is 30"), (LINK, "nodes.sample.links.steps is 'sample'")]
)
def test_a_default_beside_something_else_is_an_error_whose_commands_choose(
    data: dict[str, Any], place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "with space.json"
    for keep, expected in (
        ("nodes", {key: part.get("steps") for key, part in data["nodes"]["sample"].items() if key != "type"}),
        ("defaults", {"params": 20}),
    ):
        path.write_text(json.dumps(data), "utf-8")
        with pytest.raises(WorkflowError) as caught:
            Workflow.load(path)
        (problem,) = caught.value.problems
        assert (problem.path, problem.message) == ("inputs.steps.default", f"the default is 20, and {place}")
        (command,) = [part for part in problem.advice.split("`") if part.endswith(f"--keep {keep}")]
        program, *arguments = shlex.split(command)
        assert (program, main(arguments)) == ("graphflow", 0), capsys.readouterr().err
        assert said(Workflow.load(path).document) == {"params": None, "links": None, **expected}
        assert Workflow.from_json(data, keep="nodes" if keep == "nodes" else "defaults") == Workflow.load(path)


def test_what_else_is_kept_is_refused() -> None:
    keep: Any = "node"
    with pytest.raises(InvalidInputError, match="keep is 'nodes' or 'defaults', got 'node'"):
        Workflow.from_json(LITERAL, keep=keep)


def test_each_target_is_looked_at_and_all_differences_come_at_once() -> None:
    nodes = {name: {"type": "toy_add", "params": {"x": 1.0, "y": value}} for name, value in (("a", 1), ("b", 2))}
    nodes["c"] = {"type": "toy_add", "params": {"x": 1.0}}
    data = {"graphflow": 1, "inputs": {"y": {"to": ["a.y", "b.y", "c.y", "d.y", "a"], "default": 1}}, "nodes": nodes}
    with pytest.raises(WorkflowError, match=r"inputs\.y\.default: the default is 1, and nodes\.b\.params\.y is 2"):
        parse(data)
    for keep, expected in (("nodes", [1, 2, 1]), ("defaults", [1, 1, 1])):
        document = parse(data, keep="nodes" if keep == "nodes" else "defaults")
        assert [document.nodes[name].params["y"] for name in "abc"] == expected


def test_in_a_picture_with_a_record_the_node_counts() -> None:
    bare = picture(graphflow=json.dumps(LITERAL))
    recorded = picture(graphflow=json.dumps(LITERAL), graphflow_record="{}")
    assert said(from_bytes(recorded, source="picture", file="p.png"))["params"] == 30
    assert said(from_bytes(recorded, source="picture", file="p.png", keep="defaults"))["params"] == 20
    with pytest.raises(WorkflowError, match=r"graphflow migrate p\.png --keep nodes"):
        from_bytes(bare, source="picture", file="p.png")


@pytest.mark.parametrize("outer", [1, 2])
def test_in_inner_workflows_the_node_counts(outer: int) -> None:
    host = {"type": "workflow:draw"}
    data = {"graphflow": outer, "nodes": {"host": host}, "outputs": {"r": "host"}, "workflows": {"draw": LITERAL}}
    document = parse(data)
    assert document.workflows["draw"].nodes["sample"].params["steps"] == 30
    assert document.to_json()["graphflow"] == 2 and "graphflow" not in document.to_json()["workflows"]["draw"]
    bare = {key: part for key, part in LITERAL.items() if key != "graphflow"}
    if outer == 1:
        assert parse({**data, "workflows": {"draw": bare}}) == document
    else:
        with pytest.raises(WorkflowError, match=r"workflows\.draw\.inputs\.steps\.default: this key is of format 1"):
            parse({**data, "workflows": {"draw": bare}})


def test_where_python_code_of_0_1_gave_all_defaults_they_count_and_it_is_told(toys: ToySession) -> None:
    data = old(sample={"params": {"model": 1.0, "steps": 30, "seed": 8}, "version": 1})
    plan = toys.fresh().plan(parse(data, file="built.json"))
    assert [plan.steps["sample"].arguments[name].value for name in ("steps", "seed")] == [20, 7]  # type: ignore[union-attr]
    (notice,) = plan.notices
    assert "steps = 20, seed = 7" in notice and "`graphflow migrate built.json --keep nodes`" in notice
    assert toys.fresh().validate(parse(data)).notices != []
    assert parse(data, keep="nodes").notices == ()
    for change in ({"seed": 7}, {"model": 2.0}):  # one that agrees; a node that tells no version
        params = data["nodes"]["sample"]["params"] | change
        version = {"version": 1} if "seed" in change else {}
        with pytest.raises(WorkflowError, match="--keep nodes"):
            parse({**data, "nodes": {"sample": {"type": "toy_sample", "params": params, **version}}})


def test_code_that_0_1_exported_builds_what_its_document_says() -> None:
    inner = Workflow()
    inner.add(TOYS.specs["toy_sample"].function, model=1.0, steps=30, id="sample")
    inner.expose("steps", "sample.steps", default=20)
    outer = Workflow()
    outer.embed("draw", inner)
    assert outer.document.workflows["draw"].nodes["sample"].params["steps"] == 30
    outer.expose("steps", "sample.steps", default=20)
    outer.add(TOYS.specs["toy_sample"].function, model=1.0, steps=30, id="sample")
    assert said(outer.document)["params"] == 20
    with pytest.raises(TypeError, match="no argument 'defualt'"):
        outer.expose("steps", "sample.steps", defualt=20)


def test_a_picture_is_migrated_beside_it_and_nothing_is_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(picture(graphflow=json.dumps(old())))
    assert main(["migrate", str(path)]) == 0
    assert said(Workflow.load(tmp_path / "p.json").document)["params"] == 20
    assert main(["migrate", str(path)]) == 2
    assert "--force writes over it" in capsys.readouterr().err
    assert path.read_bytes() == picture(graphflow=json.dumps(old()))
    assert main(["migrate", str(path), "-o", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["graphflow"] == 2
    before = (tmp_path / "p.json").write_text(json.dumps(parse(old()).to_json()), "utf-8")
    assert main(["migrate", str(tmp_path / "p.json")]) == 0
    assert "is of format 2 already" in capsys.readouterr().err
    assert len((tmp_path / "p.json").read_bytes()) == before
