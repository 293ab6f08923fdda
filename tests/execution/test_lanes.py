"""Lanes belong to the session: runs at once share the device, and leave each other alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from graphflow import events
from graphflow.building.workflow import Workflow
from graphflow.errors import CancelledError, GraphflowError, NodeError
from graphflow.execution.environment import Cancellation
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from tests import toys as toy
from tests.conftest import TOYS, NoModels, ToySession

HERE: list[int] = []
MOST: list[int] = []
GATE = threading.Event()
ENTERED = threading.Event()


@node("lane_alone", lane="device", cache=False, persist=False)
def alone(x: int) -> int:
    """Note how many of its kind run at the same time."""
    HERE.append(x)
    MOST.append(len(HERE))
    time.sleep(0.002)
    HERE.remove(x)
    return x


@node("lane_gate", lane="device", cache=False, persist=False)
def gate(x: int) -> int:
    """Keep the device until the gate opens."""
    ENTERED.set()
    assert GATE.wait(30)
    return x


@node("lane_inner", lane="device", cache=False, persist=False)
def inner(x: int) -> int:
    """Run a workflow of its own, which wants the device too."""
    g = Workflow()
    g.output("x", g.add(toy.total, parts=[g.add(alone, x=x), g.add(alone, x=x + 1)]))
    result: int = SESSIONS[0].run(g).outputs["x"]
    return result


SESSIONS: list[Session] = []


@pytest.fixture
def session(toys: ToySession) -> Session:
    for event in (GATE, ENTERED):
        event.clear()
    for seen in (HERE, MOST, SESSIONS):
        seen.clear()
    settings = Settings.model_validate({"models": (), "cache_dir": toys.folder / "cache"})
    session = Session(settings, known=TOYS, functions=[alone, gate, inner], models=NoModels())
    SESSIONS.append(session)
    return session


def graph(kind: Callable[..., Any], *values: int) -> Workflow:
    g = Workflow()
    for value in values:
        g.output(f"x{value}", g.add(kind, x=value))
    return g


class Running:
    """A run in a thread of its own."""

    def __init__(self, session: Session, workflow: Workflow) -> None:
        self.cancellation = Cancellation()
        self.events: list[events.Event] = []
        self.outputs: dict[str, Any] = {}
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(session, workflow))
        self._thread.start()

    def _run(self, session: Session, workflow: Workflow) -> None:
        try:
            result = session.run(workflow, cancellation=self.cancellation, sink=self.events.append)
            self.outputs = dict(result.outputs)
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_two_runs_share_the_device(session: Session) -> None:
    runs = [Running(session, graph(alone, *range(start, start + 20))) for start in (0, 100, 200)]
    for run in runs:
        run.join()
        assert run.error is None
    assert [len(run.outputs) for run in runs] == [20, 20, 20]
    assert MOST == [1] * 60


def test_cancelling_a_run_leaves_the_other_alone(session: Session) -> None:
    first = Running(session, graph(gate, 1))
    assert ENTERED.wait(30)
    second = Running(session, graph(alone, 2, 3))
    second.cancellation.cancel()
    second.join()
    assert isinstance(second.error, CancelledError)
    assert not first.outputs
    GATE.set()
    first.join()
    assert first.error is None
    assert first.outputs == {"x1": 1}
    assert MOST == []


def test_a_run_that_fails_does_not_wait_for_the_device(session: Session) -> None:
    first = Running(session, graph(gate, 1))
    assert ENTERED.wait(30)
    g = graph(alone, 2)
    g.output("y", g.add(toy.fail, x=g.add(toy.slow, x=1.0, seconds=0.1)))
    second = Running(session, g)
    second.join()
    assert isinstance(second.error, NodeError)
    GATE.set()
    first.join()
    assert first.outputs == {"x1": 1}
    assert MOST == []


def test_a_node_that_runs_a_workflow_does_not_wait_for_itself(session: Session) -> None:
    run = Running(session, graph(inner, 1, 10))
    run.join()
    assert run.error is None
    assert run.outputs == {"x1": 3, "x10": 21}


def test_a_closed_session_has_no_threads_and_runs_nothing(session: Session) -> None:
    g = Workflow()
    parts = [g.add(toy.slow, x=float(index), seconds=0.01) for index in range(4)]
    g.output("sum", g.add(toy.total, parts=[*parts, g.add(alone, x=1)]))
    before = set(threading.enumerate())
    with session:
        assert session.run(g).outputs == {"sum": 7.0}
        assert any(thread.name.startswith("graphflow-") for thread in set(threading.enumerate()) - before)
    assert set(threading.enumerate()) <= before
    with pytest.raises(GraphflowError, match="the session is closed"):
        session.run(graph(alone, 5))


def test_every_event_names_its_run(session: Session) -> None:
    runs = [Running(session, graph(alone, 1, 2)) for _ in range(2)]
    for run in runs:
        run.join()
    ids = [{event.run_id for event in run.events} for run in runs]
    assert [len(found) for found in ids] == [1, 1]
    assert ids[0] != ids[1]
    assert all(len(event.run_id) == 8 for run in runs for event in run.events)
