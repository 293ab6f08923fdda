"""Execution: lanes, order, release, failure, cancellation, damaged stores, and equality with plain evaluation."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow import events, runtime
from graphflow.building.refs import Ref
from graphflow.building.workflow import Workflow
from graphflow.errors import CancelledError, NodeError
from graphflow.execution.environment import Cancellation
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from graphflow.store import MemoryTier, Store
from graphflow.values.types import value_type
from tests import toys as toy
from tests.conftest import TOYS, NoModels, ToySession
from tests.execution.drawn import draw_graph


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    toy.CALLS.clear()


@value_type("toy_box")
@dataclass(frozen=True, eq=False)
class Box:
    """A value that a weak reference can watch."""

    content: int


WATCHED: list[weakref.ref[Box]] = []
BARRIER = threading.Barrier(2, timeout=300)


@node("toy_box_up", cache=False)
def box_up(content: int) -> Box:
    """Put a number in a box."""
    box = Box(content)
    WATCHED.append(weakref.ref(box))
    return box


@node("toy_unbox", cache=False)
def unbox(box: Box) -> int:
    """Take the number out."""
    return box.content


@node("toy_all_gone", cache=False)
def all_gone(after: int) -> bool:
    """Tell whether every box so far is gone."""
    return all(reference() is None for reference in WATCHED)


@node("toy_meet", cache=False)
def meet(x: int) -> int:
    """Wait until another one of its kind runs at the same time."""
    BARRIER.wait()
    return x


AT_ONCE: list[int] = []
RUNNING: set[int] = set()


@node("toy_alone", lane="device", cache=False, persist=False)
def alone(x: int) -> int:
    """Note how many of its kind run at the same time."""
    RUNNING.add(x)
    AT_ONCE.append(len(RUNNING))
    time.sleep(0.02)
    RUNNING.discard(x)
    return x


@node("toy_inexact", lane="device")
def inexact(x: int) -> int:
    """Compute something that a memory measure changed."""
    toy.CALLS.append(("inexact", x))
    runtime.current().inexact("computed in slices")
    return x


EXTRA = [box_up, unbox, all_gone, meet, alone, inexact]


@pytest.fixture
def session(toys: ToySession) -> Session:
    settings = Settings.model_validate({"models": (), "cache_dir": toys.folder / "cache"})
    return Session(settings, known=TOYS, functions=EXTRA, models=NoModels())


def test_values_are_let_go_at_their_last_reader(session: Session) -> None:
    WATCHED.clear()
    g = Workflow()
    opened = g.add(unbox, box=g.add(box_up, content=3))
    g.output("gone", g.add(all_gone, after=opened))
    released: list[str] = []
    result = session.run(g, sink=lambda e: released.append(e.node) if isinstance(e, events.ValueReleased) else None)
    assert result.outputs == {"gone": True}
    assert released[:2] == ["toy_box_up", "toy_unbox"]


def test_the_cpu_lane_runs_several_at_once(session: Session) -> None:
    g = Workflow()
    g.output("sum", g.add(toy.total, parts=[g.add(meet, x=1), g.add(meet, x=2)]))
    assert session.run(g).outputs == {"sum": 3}


def test_the_device_lane_runs_one_at_a_time(session: Session) -> None:
    g = Workflow()
    for index in range(4):
        g.output(f"thread{index}", g.add(alone, x=index))
    AT_ONCE.clear()
    session.run(g)
    assert AT_ONCE == [1, 1, 1, 1]


def test_the_newest_ready_node_runs_first(session: Session) -> None:
    g = Workflow()
    for branch in "ab":
        ref: Ref[Any] = g.add(toy.sample, model=float(ord(branch)), id=f"{branch}1")
        g.output(branch, g.add(toy.sample, model=ref, id=f"{branch}2"))
    order: list[str] = []
    session.run(g, sink=lambda e: order.append(e.node) if isinstance(e, events.NodeStarted) else None)
    assert order == ["a1", "a2", "b1", "b2"]


def test_a_failure_names_the_node_and_stops_what_has_not_begun(session: Session, tmp_path: Path) -> None:
    g = Workflow()
    broken = g.add(toy.fail, x=1.0, message="out of paint", id="broken", title="Painter")
    after = g.add(toy.add, x=broken, id="after")
    g.add(toy.write, x=after, id="save")
    seen: list[events.Event] = []
    with pytest.raises(NodeError, match=r"node 'broken' \(toy_fail\) 'Painter': RuntimeError: out of paint") as caught:
        session.run(g, out=tmp_path / "out", sink=seen.append)
    assert isinstance(caught.value.cause, RuntimeError)
    assert caught.value.exit_code == 1
    assert [e.node for e in seen if isinstance(e, events.NodeFailed)] == ["broken"]
    assert isinstance(seen[-1], events.RunFinished)
    assert seen[-1].status == "failed"
    assert not (tmp_path / "out").exists()


def test_memory_that_runs_out_is_called_so(session: Session) -> None:
    g = Workflow()
    g.output("x", g.add(toy.fail, x=1.0, message="DefaultCPUAllocator: can't allocate memory: 9 bytes", id="broken"))
    with pytest.raises(NodeError, match=r"node 'broken' .* memory ran out .*9 bytes.* smaller size or batch"):
        session.run(g)


def test_cancelling_stops_between_steps_and_leaves_nothing(session: Session, tmp_path: Path) -> None:
    g = Workflow()
    g.add(toy.write, x=g.add(toy.slow, x=1.0, seconds=30.0, id="slow"), id="save")
    cancellation = Cancellation()
    seen: list[events.Event] = []

    def sink(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.NodeProgress) and event.step == 2:
            cancellation.cancel()

    with pytest.raises(CancelledError) as caught:
        session.run(g, out=tmp_path / "out", sink=sink, cancellation=cancellation)
    assert caught.value.exit_code == 130
    assert max(e.step for e in seen if isinstance(e, events.NodeProgress)) == 2
    assert not (tmp_path / "out").exists()


def test_progress_is_reported_for_each_step(session: Session) -> None:
    g = Workflow()
    g.output("x", g.add(toy.sample, model=1.0, steps=4, id="sample"))
    steps: list[tuple[int, int]] = []
    session.run(g, sink=lambda e: steps.append((e.step, e.total)) if isinstance(e, events.NodeProgress) else None)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_result_that_a_memory_measure_changed_is_not_stored(session: Session) -> None:
    g = Workflow()
    g.output("x", g.add(inexact, x=1, id="inexact"))
    notices: list[str] = []
    for _ in range(2):
        session.run(g, sink=lambda e: notices.append(e.message) if isinstance(e, events.Notice) else None)
    assert [name for name, _ in toy.CALLS] == ["inexact", "inexact"]
    assert notices == ["computed in slices; this result is not stored"] * 2


def test_a_damaged_entry_is_computed_again(toys: ToySession) -> None:
    g = Workflow()
    sampled = g.add(toy.sample, model=1.0, seed=5, id="sample")
    g.output("result", g.add(toy.add, x=sampled, id="add"))
    expected = toys.fresh().run(g).outputs
    entries = list((toys.folder / "cache" / "store").rglob("*.safetensors"))
    assert entries
    for path in entries:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    toy.CALLS.clear()
    assert toys.fresh().run(g).outputs == expected
    assert ("sample", 5) in toy.CALLS


def test_an_entry_that_goes_between_plan_and_use_is_computed_again(
    toys: ToySession, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = Workflow()
    sampled = g.add(toy.sample, model=1.0, seed=5, id="sample")
    g.add(toy.write, x=g.add(toy.add, x=sampled, id="add"), id="save")
    expected = toys.fresh().run(g, out=toys.out).paths[0].read_bytes()
    session = toys.fresh()
    g.document.nodes["add"].params["y"] = 2
    monkeypatch.setattr(session.store, "contains", lambda key: True)
    result = session.run(g, out=toys.out)
    assert result.paths[0].read_bytes() != expected
    assert result.paths[0].read_text("utf-8") == repr(1000 + 5 + 3 / 1000 + 2)


def test_what_does_not_fit_in_memory_is_computed_all_the_same(toys: ToySession) -> None:
    settings = Settings.model_validate({"models": (), "cache_dir": toys.folder / "cache", "cache_bytes": 0})
    session = Session(settings, known=TOYS, models=NoModels(), store=Store(MemoryTier(0)))
    g = Workflow()
    ref: Ref[Any] = g.add(toy.sample, model=1.0, id="sample")
    for index in range(5):
        ref = g.add(toy.add, x=ref, id=f"add{index}")
    g.output("result", ref)
    assert session.run(g).outputs == {"result": 1005.003}
    assert session.run(g).outputs == {"result": 1005.003}


@hypothesis.settings(max_examples=40, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
@given(data=st.data())
def test_any_graph_gives_what_plain_evaluation_gives(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    g, wanted = draw_graph(data)
    folder = tmp_path_factory.mktemp("random")
    settings = Settings.model_validate({"models": (), "cache_dir": folder})
    session = Session(settings, known=TOYS, models=NoModels())
    assert session.run(g).outputs == wanted
    assert session.run(g).outputs == wanted
    assert Session(settings, known=TOYS, models=NoModels()).run(g).outputs == wanted
