"""What Python takes for a workflow: the same as the command line, opened in the same way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphflow
from graphflow import Session, Workflow
from graphflow.cli import source
from graphflow.errors import ConversionError, InvalidInputError
from tests import toys as toy
from tests.conftest import ROOT, ToySession

COMFYUI = ROOT / "docs" / "examples" / "comfyui.json"
NATIVE = ROOT / "workflows" / "txt2img.json"


@pytest.mark.parametrize(
    "given",
    [
        "txt2img",
        "txt2img.json",
        NATIVE,
        str(COMFYUI),
        ROOT / "docs/images/comfyui.png",
        ROOT / "docs/images/txt2img.png",
    ],
)
def test_a_name_or_a_path_is_what_the_command_line_opens(given: str | Path) -> None:
    there = source.load(str(given))
    here = Session().plan(given).expanded
    assert here.document == Session().expand(there.document).document
    assert here.folder == there.folder
    assert Workflow.load(given).document == there.document


@pytest.mark.parametrize("path", [NATIVE, COMFYUI])
def test_parsed_json_is_a_workflow_too(path: Path) -> None:
    parsed = json.loads(path.read_text("utf-8"))
    session = Session()
    opened = session.expand(parsed)
    assert opened.document.nodes == session.expand(path).document.nodes
    assert opened.folder is None
    assert Workflow.from_json(parsed).document.nodes == opened.document.nodes
    assert Workflow.from_json(json.dumps(parsed)).document.nodes == opened.document.nodes


def test_what_an_import_says_otherwise_is_told() -> None:
    document = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "CannyEdgePreprocessor", "inputs": {"image": ["1", 0], "resolution": 64}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "edges"}},
        "4": {"class_type": "NobodyHasThis", "inputs": {"image": ["1", 0]}},
    }
    told = Workflow.from_json(document).notices
    assert [notice for notice in told if notice.startswith("2 CannyEdgePreprocessor: ")]
    assert "left out, no output needs it: 4 NobodyHasThis" in told
    assert set(told) <= set(Session().plan(document).notices)
    assert set(told) <= set(Session().validate(document).notices)


def test_nodes_that_an_output_needs_and_nobody_has_are_refused() -> None:
    document = {
        "1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
        "2": {"class_type": "X", "inputs": {}},
    }
    with pytest.raises(ConversionError, match="not supported"):
        graphflow.run(document)


def test_files_that_a_workflow_names_are_found_beside_it(toys: ToySession) -> None:
    folder = toys.folder / "theirs"
    folder.mkdir()
    (folder / "note.txt").write_text("theirs", "utf-8")
    g = Workflow()
    g.output("text", g.add(toy.read, file="note.txt"))
    path = g.save(folder / "read.json")
    session = toys.fresh()
    loaded = Workflow.load(path)
    runs: list[Callable[[], Any]] = [
        lambda: graphflow.run(path, session=session),
        lambda: session.run(str(path)),
        lambda: loaded.run(session=session),
    ]
    for run in runs:
        assert run().outputs == {"text": "theirs"}
    other = toys.folder / "other"
    shutil.copytree(folder, other)
    (other / "note.txt").write_text("other", "utf-8")
    assert session.run(path, folder=other).outputs == {"text": "other"}
    with pytest.raises(InvalidInputError, match=r"note\.txt"):
        session.run(g.to_json())


@pytest.mark.parametrize(
    ("call", "place", "says"),
    [
        (lambda s: Session(settings={}), "Session(settings=…)", "graphflow.Settings("),  # type: ignore[arg-type]
        (lambda s: Session(store={}), "Session(store=…)", "got {}"),  # type: ignore[arg-type]
        (lambda s: Session(nodes=3), "Session(nodes=…)", "a Python file"),  # type: ignore[arg-type]
        (lambda s: Session(functions=toy.add), "Session(functions=…)", "a list"),  # type: ignore[arg-type]
        (lambda s: s.run("x"), "x", "no such file"),
        (lambda s: s.run("txt2im"), "txt2im", "'txt2img'"),
        (lambda s: s.run("x" * 5000), "xxx", "another file"),
        (lambda s: s.run(ROOT), str(ROOT), "a folder"),
        (lambda s: s.run(None), "workflow", "got null"),
        (lambda s: s.validate(toy.add), "workflow", "a packaged name"),
        (lambda s: s.run("txt2img", [7]), "inputs", "got [7]"),
        (lambda s: s.run("txt2img", {7: 7}), "inputs", "got 7"),
        (lambda s: s.run("nowhere/x.json"), "x.json", "`graphflow workflows`"),
        (lambda s: s.plan("txt2img", None, "a.b"), "overrides", "node.parameter"),
        (lambda s: s.plan("txt2img", targets=7), "targets", "got 7"),
        (lambda s: s.run("txt2img", sink=7), "sink", "got 7"),
        (lambda s: s.run("txt2img", out=7), "out", "a folder"),
        (lambda s: s.run("txt2img", folder=7), "folder", "a folder"),
        (lambda s: s.run("txt2img", cancellation=True), "cancellation", "graphflow.Cancellation"),
        (lambda s: graphflow.run("txt2img", session="s"), "session", "graphflow.Session"),  # type: ignore[arg-type]
        (lambda s: s.run({7: {}}), "workflow", "got 7"),
        (lambda s: Workflow(Path("a.json")), "Workflow(name)", "Workflow.load"),  # type: ignore[arg-type]
        (lambda s: Workflow.load({}), "workflow", "from_json"),  # type: ignore[arg-type]
        (lambda s: Workflow.from_json([]), "workflow", "a JSON object"),  # type: ignore[arg-type]
        (lambda s: Workflow.from_document({}), "from_document", "from_json"),  # type: ignore[arg-type]
        (lambda s: Workflow().output("a", "b.c"), "outputs.a", "add()"),  # type: ignore[arg-type]
        (lambda s: Workflow().expose("a", Workflow().add(toy.add)), "inputs.a", "(Ref, parameter)"),  # type: ignore[arg-type]
        (lambda s: Workflow().embed("a", {}), "workflows.a", "a Workflow"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_used_is_refused_by_name(call: Callable[[Any], Any], place: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        call(Session())
    assert place in str(caught.value.where) and says in str(caught.value)


def test_the_version_is_that_of_the_package(capfd: pytest.CaptureFixture[str]) -> None:
    from graphflow.cli import main

    main(["--version"])
    assert capfd.readouterr().out == f"graphflow {graphflow.__version__}\n"
