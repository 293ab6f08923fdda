"""Which lanes a run keeps busy with what, and which task begins next on which of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from graphflow.execution.lanes import Lane, Lanes
from graphflow.execution.placing import Group, Spot, Times, choose
from graphflow.execution.scheduler import Scheduler
from graphflow.planning.needs import Needs, needs_of
from graphflow.planning.steps import Plan

_NOTHING = Needs()


class Dispatch:
    """The lanes as one run sees them. Not safe to use from several threads.

    Args:
        plan: What is run.
        lanes: The session's lanes.

    Attributes:
        running: How many of the run's jobs the lanes have.
        room: How many jobs the lanes of one kind take at most.
    """

    def __init__(self, plan: Plan, lanes: Lanes) -> None:
        self._lanes = lanes
        self._needs = needs_of(plan) if any(len(several) > 1 for several in lanes.values()) else {}
        self._times = Times()
        self._busy = {lane: 0 for several in lanes.values() for lane in several}
        self._idle = {kind: dict.fromkeys(several) for kind, several in lanes.items()}  # which may take a job
        self._kinds = {lane: kind for kind, several in lanes.items() for lane in several}
        self.running = 0
        self.room = max(sum(lane.free(0) for lane in several) for several in lanes.values())

    @property
    def kinds(self) -> Sequence[str]:
        """The kinds of jobs that lanes take."""
        return tuple(self._lanes)

    def needs(self, step: str) -> Needs:
        """Return what a step needs; nothing where there is no choice between lanes."""
        return self._needs.get(step, _NOTHING)

    def choose(self, kind: str, scheduler: Scheduler[str, str]) -> tuple[str, Lane] | None:
        """Take the task of a kind that begins next, and the lane; None where there is none, or each had better wait."""
        lanes = self._lanes[kind]
        if len(lanes) == 1:
            task = scheduler.get_ready(kind) if self._has_room(lanes[0]) else None
            return None if task is None else (task, lanes[0])
        idle = self._idle[kind] = {lane: None for lane in self._idle[kind] if self._has_room(lane)}
        if not idle:
            return None
        groups = [Group(cast("Needs", group), size) for _, group, size in sorted(scheduler.waiting(kind), key=_order)]
        looked: Sequence[Lane] = ()

        def look(needs: Needs) -> Iterator[Spot]:
            nonlocal looked
            looked = lanes if needs.weights else tuple(idle)  # without weights, no lane is worth waiting for
            return (lane.holding.spot(needs.weights, free=lane in idle) for lane in looked)

        found = choose(groups, look, self._times)
        return None if found is None else (scheduler.take(kind, found[0]), looked[found[1]])

    def begin(self, lane: Lane, needs: Needs) -> None:
        """Take note that a lane gets a job."""
        lane.holding.take(needs.weights, self._times(needs))
        self._busy[lane] += 1
        self.running += 1

    def end(self, lane: Lane, jobs: int = 1) -> None:
        """Take note that a lane has jobs no more."""
        lane.holding.give_back(jobs)
        self._busy[lane] -= jobs
        self.running -= jobs
        self._idle[self._kinds[lane]][lane] = None

    def took(self, step: str, seconds: float) -> None:
        """Take note of how long a step's task has computed."""
        self._times.note(self.needs(step), seconds)

    def look_again(self) -> None:
        """Take note that lanes may have more room than when they were last seen."""
        self._idle = {kind: dict.fromkeys(several) for kind, several in self._lanes.items()}

    def withdraw(self, run: str) -> int:
        """Take back what no lane has begun; returns how much that was."""
        total = 0
        for lane in self._busy:
            dropped = lane.cancel(run)
            self.end(lane, dropped)
            total += dropped
        return total

    def _has_room(self, lane: Lane) -> bool:
        return lane.free(self._busy[lane]) > 0


def _order(waiting: tuple[tuple[int, int], object, int]) -> tuple[int, int]:
    return waiting[0]
