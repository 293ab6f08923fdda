"""Nodes that wait for something to be built: refused when called and while planning, all at once."""

from __future__ import annotations

from typing import Any

import pytest

from graphflow import nodes as pack
from graphflow.document.document import Document
from graphflow.errors import InvalidInputError, NodeDefinitionError, WorkflowError
from graphflow.session import Session
from graphflow.spec.decorator import node, spec_of
from graphflow.values import Files
from tests.conftest import TOYS, NoModels


@node("wait_plain", waits="a family of toys")
def plain(x: float = 0.0) -> float:
    """Wait."""


@node("wait_named", waits="the family {family}")
def named(family: str = "bears") -> float:
    """Wait for what is named."""


@node("wait_unless", waits="a family of toys", unless={"factor": 1.0})
def unless(x: float, factor: float = 2.0) -> float:
    """Wait, unless there is nothing to do."""
    return x


@node("wait_write", effect=True, waits="a family of toys")
def write(x: float) -> Files:
    """Wait, and write."""


REGISTRY = TOYS.with_nodes([plain, named, unless, write], pack="waiting")
TOY = "waits for a family of toys"


@pytest.fixture
def session() -> Session:
    return Session(known=REGISTRY, models=NoModels())


def document(nodes: dict[str, Any], output: str = "end") -> Document:
    return Document.model_validate({"nodes": nodes, "outputs": {"r": output}})


def told(session: Session, nodes: dict[str, Any], **more: Any) -> dict[str, str]:
    """Return by path what planning says is wrong."""
    try:
        session.plan(document(nodes), **more)
    except WorkflowError as error:
        return {problem.path: problem.message for problem in error.problems}
    return {}


def test_calling_one_says_what_it_waits_for_and_the_way_out() -> None:
    with pytest.raises(InvalidInputError, match=f"wait_plain {TOY}") as raised:
        plain(3.0)
    assert "run_pipeline" in (raised.value.advice or "")
    with pytest.raises(InvalidInputError, match="waits for the family cats"):
        named("cats")
    assert unless(3.0, factor=1.0) == 3.0
    with pytest.raises(TypeError):
        plain(nothing=1)  # type: ignore[call-arg]


def test_every_one_that_is_needed_is_a_problem_beside_the_others(session: Session) -> None:
    nodes = {
        "one": {"type": "wait_plain"},
        "same": {"type": "wait_plain"},
        "named": {"type": "wait_named", "params": {"family": "cats"}},
        "spare": {"type": "wait_plain"},
        "end": {"type": "toy_sum", "links": {"parts": ["one", "same", "named"]}},
    }
    waiting = {
        "nodes.one.type": f"wait_plain {TOY}, and cannot run in this version",
        "nodes.same.type": f"wait_plain {TOY}, and cannot run in this version",
        "nodes.named.type": "wait_named waits for the family cats, and cannot run in this version",
    }
    assert told(session, nodes) == waiting
    assert {problem.path for problem in session.validate(document(nodes)).problems} == waiting.keys()
    nodes["read"] = {"type": "toy_read", "params": {"file": "missing"}}
    nodes["end"]["links"]["parts"].append("read")  # type: ignore[index]
    assert told(session, nodes).keys() == {*waiting, "nodes.read.params.file"}
    nodes["broken"] = {"type": "toy_sample", "params": {"model": 1, "steps": 0}}
    assert told(session, nodes).keys() == {*waiting, "nodes.read.params.file", "nodes.broken.params.steps"}
    assert told(session, nodes | {"broken": nodes["spare"]}, targets=["spare"]).keys() == {"nodes.spare.type"}


def test_one_that_writes_is_needed(session: Session) -> None:
    assert "nodes.w.type" in told(
        session, {"w": {"type": "wait_write", "params": {"x": 1.0}}, "end": {"type": "toy_load"}}
    )


@pytest.mark.parametrize("selector", ["literal", "folded"])
@pytest.mark.parametrize("chosen", [True, False])
def test_behind_a_switch_only_what_is_chosen_is_needed(session: Session, selector: str, chosen: bool) -> None:
    switch: dict[str, Any] = {"type": "toy_switch", "links": {"on_true": "one", "on_false": "load"}}
    nodes: dict[str, Any] = {"one": {"type": "wait_plain"}, "load": {"type": "toy_load"}, "end": switch}
    if selector == "literal":
        switch["params"] = {"select": chosen}
        problems = session.validate(document(nodes)).problems
        assert [problem.path for problem in problems] == (["nodes.one.type"] if chosen else [])
    else:
        nodes["inner"] = {
            "type": "toy_switch",
            "params": {"select": True},
            "links": {"on_true": "flag", "on_false": "flag"},
        }
        nodes["flag"] = {"type": "wait_flag", "params": {"value": chosen}}
        switch["links"]["select"] = "inner"
        session = Session(known=REGISTRY.with_nodes([flag], pack="flags"), models=NoModels())
    assert told(session, nodes).keys() == ({"nodes.one.type"} if chosen else set())


@node("wait_flag", fold=True)
def flag(value: bool) -> bool:
    """Return a truth."""
    return value


def test_what_a_computed_selector_chooses_is_refused_when_it_is_chosen(session: Session) -> None:
    def nodes(x: float) -> dict[str, Any]:
        return {
            "one": {"type": "wait_plain"},
            "load": {"type": "toy_load"},
            "is": {"type": "toy_positive", "params": {"x": x}},
            "end": {"type": "toy_switch", "links": {"select": "is", "on_true": "one", "on_false": "load"}},
        }

    assert session.run(document(nodes(-1.0))).outputs["r"] is not None
    with pytest.raises(WorkflowError, match=f"wait_plain {TOY}"):
        session.run(document(nodes(1.0)))


@pytest.mark.parametrize(("factor", "runs"), [(1.0, True), (2.0, False), ("load", False)])
def test_one_with_nothing_to_do_runs(session: Session, factor: Any, runs: bool) -> None:
    given = (
        {"links": {"factor": factor}, "params": {"x": 5.0}}
        if factor == "load"
        else {"params": {"x": 5.0, "factor": factor}}
    )
    nodes = {"load": {"type": "toy_load"}, "end": {"type": "wait_unless", **given}}
    assert told(session, nodes).keys() == (set() if runs else {"nodes.end.type"})
    if runs:
        assert session.run(document(nodes)).outputs["r"] == 5.0


def test_what_one_waits_for_is_checked_where_it_is_written() -> None:
    def other(x: float = 0.0) -> float:
        """Wait."""
        return x

    wrong: list[dict[str, Any]] = [
        {"waits": ""},
        {"waits": "{y}"},
        {"waits": "a", "unless": {"y": 1}},
        {"unless": {"x": 1}},
    ]
    for arguments in wrong:
        with pytest.raises(NodeDefinitionError):
            node("wait_wrong", **arguments)(other)


def test_the_room_of_waiting_nodes_holds_all_of_them_and_nothing_else() -> None:
    specs = [spec_of(function) for function in pack.NODES]
    assert {spec.type for spec in specs if spec.waits} == {spec.type for spec in specs if spec.category == "waiting"}
