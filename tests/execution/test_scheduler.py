"""The scheduler, on random graphs, against what it promises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow.execution.scheduler import Entry, Scheduler

LANES = ("device", "cpu")


@st.composite
def entries(draw: st.DrawFn) -> list[Entry[int, str]]:
    """Steps in topological order; some read what nobody makes, some values nobody reads."""
    made: list[str] = ["given"]
    steps = []
    for step in range(draw(st.integers(1, 15))):
        reads = draw(st.lists(st.sampled_from(made), max_size=3))
        makes = [f"{step}.{index}" for index in range(draw(st.integers(0, 2)))]
        steps.append(Entry(step, tuple(reads), tuple(makes), draw(st.sampled_from(LANES))))
        made += makes
    return steps


def maker_of(graph: list[Entry[int, str]]) -> dict[str, int]:
    return {value: entry.step for entry in graph for value in entry.makes}


def take(data: st.DataObject, scheduler: Scheduler[int, str], running: set[int]) -> int | None:
    """Begin a step or choose one that ends; None where nothing is left."""
    for lane in data.draw(st.permutations(LANES)):
        if len(running) < 3 and (step := scheduler.get_ready(lane)) is not None:
            running.add(step)
    return data.draw(st.sampled_from(sorted(running))) if running else None


@given(graph=entries(), data=st.data())
def test_every_step_runs_once_after_its_inputs_and_values_go_at_their_last_reader(
    graph: list[Entry[int, str]], data: st.DataObject
) -> None:
    scheduler: Scheduler[int, str] = Scheduler()
    cut = data.draw(st.integers(0, len(graph)))
    later = graph[cut:]
    held = [value for entry in later for value in set(entry.reads)]  # by those that come later
    scheduler.prepare(graph[:cut])
    scheduler.hold(held)
    makers, ended, running, begun = maker_of(graph), list[int](), set[int](), list[int]()
    released: list[str] = []
    while True:
        before = set(running)
        step = take(data, scheduler, running)
        for fresh in running - before:
            begun.append(fresh)
            assert all(makers.get(value) is None or makers[value] in ended for value in graph[fresh].reads)
            assert not set(graph[fresh].reads) & set(released)
        if step is None:
            if not later:
                break
            scheduler.prepare(later)
            gone = scheduler.drop(held)
            assert not gone, "those that came later read them now"
            later = []
            continue
        running.remove(step)
        ended.append(step)
        gone = scheduler.done(step)
        released += gone
        for value in set(graph[step].reads):
            readers = {entry.step for entry in graph if value in entry.reads}
            assert (value in gone) == (readers <= set(ended))
    assert sorted(begun) == sorted(ended) == list(range(len(graph)))
    assert len(released) == len(set(released))
    assert set(released) == {value for entry in graph for value in entry.reads}
    assert scheduler.ready == 0


@given(graph=entries(), data=st.data())
def test_the_newest_ready_step_goes_first(graph: list[Entry[int, str]], data: st.DataObject) -> None:
    scheduler: Scheduler[int, str] = Scheduler()
    scheduler.prepare(graph)
    makers, ended = maker_of(graph), list[int]()
    since: dict[int, int] = {}
    while True:
        for entry in graph:
            if all(makers.get(value) is None or makers[value] in ended for value in entry.reads):
                since.setdefault(entry.step, len(ended))
        waiting = [step for step in since if step not in ended]
        assert scheduler.ready == len(waiting)
        lane = data.draw(st.sampled_from(LANES))
        here = [step for step in waiting if graph[step].lane == lane]
        step = scheduler.get_ready(lane)
        if step is None:
            assert not here
            if not waiting:
                break
            continue
        # Of those that became ready at the same time, the first that was prepared.
        assert step == min(here, key=lambda other: (-since[other], other))
        ended.append(step)
        scheduler.done(step)


@given(graph=entries(), data=st.data())
def test_a_failed_step_takes_what_depends_on_it_along_and_nothing_else(
    graph: list[Entry[int, str]], data: st.DataObject
) -> None:
    scheduler: Scheduler[int, str] = Scheduler()
    scheduler.prepare(graph)
    broken = data.draw(st.sampled_from(range(len(graph))))
    makers = maker_of(graph)
    behind = {broken}
    for entry in graph:
        if any(makers.get(value) in behind for value in entry.reads):
            behind.add(entry.step)
    ended: list[int] = []
    while (step := scheduler.get_ready("cpu")) is not None or (step := scheduler.get_ready("device")) is not None:
        if step == broken:
            assert set(scheduler.failed(step)) == behind - {broken}
        else:
            ended.append(step)
            scheduler.done(step)
    assert sorted(ended) == sorted(set(range(len(graph))) - behind)


def test_what_is_held_stays_until_it_is_dropped() -> None:
    scheduler: Scheduler[str, str] = Scheduler()
    scheduler.prepare([Entry("make", (), ("x", "y"), "cpu"), Entry("read", ("x",), (), "cpu")])
    scheduler.hold(["x"])
    assert scheduler.knows("y") and not scheduler.knows("z")
    assert scheduler.is_read("x") and not scheduler.is_read("y")
    for step in ("make", "read"):
        assert scheduler.get_ready("cpu") == step
        assert scheduler.done(step) == []
    assert scheduler.drop(["x"]) == ["x"]
    assert not scheduler.is_read("x")


def test_a_step_is_prepared_once() -> None:
    scheduler: Scheduler[str, str] = Scheduler()
    scheduler.prepare([Entry("make", (), ("x",), "cpu")])
    with pytest.raises(ValueError, match="'make' is prepared already"):
        scheduler.prepare([Entry("make", (), ("x",), "cpu")])
