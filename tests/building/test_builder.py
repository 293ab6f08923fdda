"""Graphs built in Python: what a graph takes, what it refuses, how it shows itself."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow
from graphflow import Workflow, nodes
from graphflow.basics.once import once
from graphflow.building.refs import HostRef
from graphflow.document import document as workflow
from graphflow.errors import InvalidInputError, PackError, WorkflowError
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from graphflow.store import MemoryTier, Store
from tests import toys as toy
from tests.conftest import TOYS, NoModels, ToySession


def graph() -> Workflow:
    g = Workflow("sum")
    total = g.add(toy.add, x=g.add(toy.load, scale=2.0), y=3.0, id="sum")
    g.output("total", total)
    return g


@pytest.mark.parametrize(
    ("function", "name", "given", "held"),
    [
        (toy.read, "file", Path("a") / "b.txt", str(Path("a") / "b.txt")),
        (toy.sample, "steps", np.int64(7), 7),
        (toy.add, "x", np.float32(0.5), 0.5),
        (toy.load, "scale", True, True),
    ],
)
def test_literals_as_python_has_them_become_json(function: Any, name: str, given: Any, held: Any) -> None:
    g = Workflow()
    g.add(function, id="n", **{name: given})
    value = g.document.nodes["n"].params[name]
    assert (value, type(value)) == (held, type(held))
    g.expose("knob", f"n.{name}")
    assert workflow.parse(g.to_json()) == g.document


def test_values_of_a_run_may_be_numpys_and_paths(toys: ToySession) -> None:
    (toys.folder / "note.txt").write_text("mine", "utf-8")
    g = graph()
    g.expose("y", "sum.y")
    g.output("text", g.add(toy.read, file="absent", id="read"))
    result = toys.fresh().run(g, {"y": np.float64(4)}, {"read.file": toys.folder / "note.txt"})
    assert dict(result.outputs) == {"total": 6.0, "text": "mine"}


@node("film.grain")
def grain(x: float = 0.0) -> float:
    """Return what comes."""
    return x


def test_a_node_named_after_its_pack_needs_no_id() -> None:
    g = Workflow()
    assert [g.add(grain).address for _ in range(2)] == ["film_grain", "film_grain_2"]
    assert g.document.nodes["film_grain"].type == "film.grain"


def hosted() -> HostRef:
    g, inner = Workflow(), Workflow()
    inner.output("y", inner.add(toy.load))
    g.embed("inner", inner)
    return g.use("inner")


def test_a_copy_takes_the_links_of_its_original() -> None:
    g = graph()
    loaded = g.add(toy.load)
    other = copy.deepcopy(g)
    other.add(toy.add, x=loaded, id="n")
    assert other.document.nodes["n"].links == {"x": loaded.address} and "n" not in g.document.nodes


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda g: g.add(toy.add, x=float("nan"), id="n"), "nodes.n.params.x"),
        (lambda g: g.add(toy.add, x=[1, float("inf")], id="n"), "nodes.n.params.x"),
        (lambda g: g.add(toy.add, x={1, 2}, id="n"), "nodes.n.params.x"),
        (lambda g: g.add(toy.add, x=1, id="sum"), "nodes.sum"),
        (lambda g: g.add(toy.add, x=1, id="a b"), "nodes.a b"),
        (lambda g: g.expose("a b", "sum.y"), "inputs.a b"),
        (lambda g: g.expose("y"), "inputs.y.to"),
        (lambda g: g.output("a b", g.add(toy.load)), "outputs.a b"),
        (lambda g: g.embed("a b", Workflow()), "workflows.a b"),
        (lambda g: g.use("inner", id="sum"), "nodes.sum"),
        (lambda g: g.use("inner", id="a b"), "nodes.a b"),
        (lambda g: g.use("inner", id="n", y=object()), "nodes.n.params.y"),
        (lambda g: g.use("inner", id="n", z=1), "nodes.n.z"),
        (lambda g: g.add(toy.add, 1.0, id="n"), "nodes.n"),
        (lambda g: g.add(toy.add, x=graph().add(toy.load), id="n"), "nodes.n.links.x"),  # of another graph
        (lambda g: g.add(toy.add, x=hosted().y, id="n"), "nodes.n.links.x"),
        (lambda g: g.use("inner", id="n", y=graph().add(toy.load)), "nodes.n.links.y"),
        (lambda g: g.output("o", graph().add(toy.load)), "outputs.o"),
        (lambda g: g.expose("y", (graph().add(toy.add, x=1.0), "y")), "inputs.y.to"),
    ],
)
def test_what_no_document_can_have_is_refused_at_once(change: Callable[[Workflow], Any], place: str) -> None:
    inner = Workflow()
    inner.expose("y", (inner.add(toy.add, x=1.0, id="inside"), "y"))
    g = graph()
    g.embed("inner", inner)
    before = g.to_json()["outputs"]
    with pytest.raises(WorkflowError) as caught:
        change(g)
    assert place in [problem.path for problem in caught.value.problems]
    assert g.to_json()["outputs"] == before
    assert workflow.parse(g.to_json()) == g.document


def test_graphs_show_themselves_in_a_line() -> None:
    g = graph()
    assert repr(g) == "Workflow('sum', nodes=['toy_load', 'sum'])"
    assert repr(g.add(toy.load)) == "Ref('toy_load_2.value')"


def test_outputs_are_completed() -> None:
    g = Workflow()
    inner = Workflow()
    inner.output("picture", inner.add(toy.load))
    g.embed("inner", inner)
    assert {"model", "vae", "address"} <= set(dir(g.add(nodes.load_checkpoint, model="shapes")))
    assert {"picture", "address"} <= set(dir(g.use("inner")))


def test_one_target_needs_no_list(toys: ToySession) -> None:
    session = toys.fresh()
    assert list(session.run(graph(), targets="toy_load").values) == ["toy_load.value"]
    assert list(session.plan(graph(), targets="toy_load").steps) == ["toy_load"]
    g = Workflow()
    halves = g.add(toy.split, x=1.0, id="halves")
    g.output("low", halves)
    assert list(g.run(session=session, targets=halves.high).values) == ["halves.high"]
    assert list(g.run(session=session, targets=[halves]).values) == ["halves.low"]


def test_an_expanded_workflow_takes_no_more_values(toys: ToySession) -> None:
    session = toys.fresh()
    expanded = session.expand(graph(), overrides={"sum.y": 1.0})
    assert session.run(expanded).outputs == {"total": 3.0}
    for run in (session.run, session.plan):
        with pytest.raises(InvalidInputError, match=r"Session\.expand"):
            run(expanded, None, {"sum.y": 2.0})


def test_folders_and_packs_may_be_text(toys: ToySession) -> None:
    (toys.folder / "note.txt").write_text("mine", "utf-8")
    g = Workflow()
    g.output("text", g.add(toy.read, file="note.txt"))
    for name in ("folder", "input_folder"):
        options: Any = {name: str(toys.folder)}
        assert toys.fresh().run(g, **options).outputs == {"text": "mine"}
    with pytest.raises(PackError, match="there is no such file"):
        _ = Session(Settings(), nodes=["absent.py"]).registry


def test_a_value_kept_in_memory_is_said_to_be_there(tmp_path: Path) -> None:
    g = Workflow()
    g.output("picture", g.add(toy.sample, model=2.0, id="sample"))
    settings = Settings.model_validate({"models": (), "cache_dir": tmp_path})
    session = Session(settings, known=TOYS, models=NoModels(), store=Store(MemoryTier(10**6)))
    session.run(g)
    assert session.run(g).cached == {"sample": "memory"}


def test_running_a_path_takes_the_options_of_a_session(toys: ToySession) -> None:
    path = graph().save(toys.folder / "sum.json")
    assert graphflow.run(path, session=toys.fresh(), overrides={"sum.y": 5.0}).outputs == {"total": 7.0}
    with pytest.raises(InvalidInputError, match="no safety policy 'of'"):
        graphflow.run(path, session=toys.fresh(), safety="of")  # type: ignore[typeddict-item]


def test_the_package_lists_what_it_exports() -> None:
    assert set(graphflow.__all__) <= set(dir(graphflow))


def test_threads_that_ask_at_once_get_one_and_the_same() -> None:
    made: list[object] = []
    asked = threading.Barrier(4)

    class Owner:
        @once
        def part(self) -> object:
            made.append(object())
            threading.Event().wait(0.05)  # time for the others to ask
            return made[-1]

    owner, got = Owner(), []

    def ask() -> None:
        asked.wait()
        got.append(owner.part)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert got == made * 4
