"""Runs from an event loop: awaited, followed by their events, cancelled with their task."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from graphflow import Cancellation, Session, Workflow, runtime
from graphflow.errors import CancelledError, GraphflowError, InvalidInputError, NodeError
from graphflow.events import Event, NodeProgress, NodeStarted, RunFinished, RunStarted
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from tests import toys as toy
from tests.conftest import TOYS, NoModels, ToySession

STEPS = 5000


@node("await_long", lane="cpu", cache=False, persist=False)
def long(x: int = 0) -> int:
    """Take far more steps than a test waits for."""
    for step in range(STEPS):
        runtime.current().report(step + 1, STEPS, None)
        threading.Event().wait(0.01)
    return x


@pytest.fixture
def session(toys: ToySession) -> Session:
    settings = Settings.model_validate({"models": (), "cache_dir": toys.folder / "cache"})
    return Session(settings, known=TOYS, functions=[long], models=NoModels())


def endless() -> Workflow:
    g = Workflow()
    g.output("x", g.add(long))
    return g


def graph(scale: float = 2.0) -> Workflow:
    g = Workflow()
    g.output("total", g.add(toy.add, x=g.add(toy.load, scale=scale), y=3.0, id="sum"))
    return g


class Told:
    """A sink that says when a node has begun, and how the run ended."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.status = ""
        self.steps = 0

    def __call__(self, event: Event) -> None:
        match event:
            case NodeProgress():
                self.steps = event.step
                self.began.set()
            case RunFinished():
                self.status = event.status


def test_several_runs_are_awaited_at_once(session: Session) -> None:
    async def main() -> list[float]:
        results = await asyncio.gather(*(session.arun(graph(scale), {}, overrides={"sum.y": 1}) for scale in (1, 2, 3)))
        return [result.outputs["total"] for result in results]

    assert asyncio.run(main()) == [2, 3, 4]


@pytest.mark.parametrize("again", [False, True])
def test_cancelling_the_task_cancels_the_run(session: Session, again: bool) -> None:
    told = Told()

    async def main() -> None:
        task = asyncio.create_task(session.arun(endless(), sink=told))
        await asyncio.to_thread(told.began.wait, 30)
        task.cancel()
        if again:
            await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told.status == "cancelled"  # the task ends when the run has

    asyncio.run(main())
    assert 0 < told.steps < STEPS


def test_a_switch_of_ones_own_stops_an_awaited_run(session: Session) -> None:
    switch = Cancellation()

    def sink(event: Event) -> None:
        if isinstance(event, NodeProgress):
            switch.cancel()

    with pytest.raises(CancelledError):
        asyncio.run(session.arun(endless(), sink=sink, cancellation=switch))


def test_events_come_in_order_and_then_the_result(session: Session) -> None:
    async def main() -> None:
        events = session.events(graph(), overrides={"sum.y": 1})
        with pytest.raises(GraphflowError, match="not over"):
            _ = events.result
        told: list[Event] = []
        synchronous: list[Event] = []
        async for event in events:
            told.append(event)
        assert events.result.outputs == {"total": 3.0}
        session.run(graph(scale=9.0), sink=synchronous.append)
        assert [type(event) for event in told] == [type(event) for event in synchronous]
        assert isinstance(told[0], RunStarted) and isinstance(told[-1], RunFinished)
        assert {event.run_id for event in told} == {events.result.run_id}
        assert [event async for event in events] == []

    asyncio.run(main())


def test_an_error_comes_after_the_last_event(session: Session) -> None:
    g = Workflow()
    g.output("x", g.add(toy.fail, x=1.0))

    async def main() -> None:
        told: list[Event] = []
        with pytest.raises(NodeError, match="broken"):
            async for event in session.events(g):
                told.append(event)
        assert isinstance(told[-1], RunFinished) and told[-1].status == "failed"
        with pytest.raises(NodeError, match="broken"):
            await session.arun(g)
        with pytest.raises(InvalidInputError, match="no such file"):
            async for _ in session.events("nowhere.json"):
                raise AssertionError

    asyncio.run(main())


async def leave_block(session: Session, switch: Cancellation) -> None:
    async with session.events(endless(), cancellation=switch) as events:
        async for event in events:
            if isinstance(event, NodeStarted):
                break
    with pytest.raises(CancelledError):  # not asyncio's, which would cancel whoever asks
        _ = events.result


async def close(session: Session, switch: Cancellation) -> None:
    events = session.events(endless(), cancellation=switch)
    assert isinstance(await anext(events), RunStarted)
    await events.aclose()
    assert [event async for event in events if isinstance(event, NodeProgress) and event.step == STEPS] == []
    unused = session.events(endless())
    await unused.aclose()
    assert [event async for event in unused] == []


async def let_go(session: Session, switch: Cancellation) -> None:
    async for event in session.events(endless(), cancellation=switch):
        if isinstance(event, NodeStarted):
            break
    gc.collect()


async def cancel_the_follower(session: Session, switch: Cancellation) -> None:
    began = asyncio.Event()

    async def follow() -> None:
        async for event in session.events(endless(), cancellation=switch):
            if isinstance(event, NodeStarted):
                began.set()

    task = asyncio.create_task(follow())
    await began.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("stop", [leave_block, close, let_go, cancel_the_follower])
def test_who_stops_following_stops_the_run(
    session: Session, stop: Callable[[Session, Cancellation], Coroutine[Any, Any, None]]
) -> None:
    switch = Cancellation()
    asyncio.run(stop(session, switch))
    assert switch.cancelled
    with session:  # ends when its threads have: they do not take all the steps
        pass
