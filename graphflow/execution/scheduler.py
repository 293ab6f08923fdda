"""Which step may begin and which value may go, in any graph. Pure: no threads, no store, nothing is called.

Policy: newest ready first, which keeps few values alive (of several that become ready at once, the first that was
prepared); a rank goes before that. A value goes at its last reader.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)
V = TypeVar("V", bound=Hashable)


class Entry(NamedTuple, Generic[S, V]):
    """A step as the scheduler sees it.

    Attributes:
        step: Its name.
        reads: The values that it needs; what no prepared step makes is there already.
        makes: The values that it gives.
        lane: Where it runs.
        rank: Of what may begin on a lane, the lowest rank does first.
        group: What steps of a lane have in common between which its user chooses, see :meth:`Scheduler.waiting`.
    """

    step: S
    reads: tuple[V, ...]
    makes: tuple[V, ...]
    lane: str
    rank: int = 0
    group: Hashable = None


class Waiting(NamedTuple):
    """The steps of one group that may begin.

    Attributes:
        order: What comes first has the least.
        group: The group.
        size: How many they are.
    """

    order: tuple[int, int]
    group: Hashable
    size: int


class Scheduler(Generic[S, V]):
    """Hands out steps and says which values nobody reads any more.

    Call :meth:`prepare`, then :meth:`get_ready` and :meth:`done` in turns. More steps may be prepared at any time, each
    after those that make what it reads. Not safe to use from several threads.
    """

    def __init__(self) -> None:
        self._entries: dict[S, Entry[S, V]] = {}
        self._makers: dict[V, S] = {}
        self._readers: dict[V, int] = {}
        self._waiting: dict[S, int] = {}
        self._dependents: dict[S, list[S]] = {}
        self._ready: dict[str, dict[Hashable, list[tuple[int, int, S]]]] = {}  # heaps
        self._pushed = 0
        self._finished: set[S] = set()
        self.ready = 0
        """How many steps may begin."""

    def prepare(self, entries: Iterable[Entry[S, V]]) -> None:
        """Take in steps.

        Raises:
            ValueError: A step is known already.
        """
        begin: list[S] = []
        for entry in entries:
            step = entry.step
            if step in self._entries:
                raise ValueError(f"{step!r} is prepared already")
            self._entries[step] = entry
            before: set[S] = set()
            for value in dict.fromkeys(entry.reads):
                self._readers[value] = self._readers.get(value, 0) + 1
                if value in self._makers and (maker := self._makers[value]) not in self._finished:
                    before.add(maker)
            for maker in before:
                self._dependents.setdefault(maker, []).append(step)
            for value in entry.makes:
                self._makers[value] = step
            self._waiting[step] = len(before)
            if not before:
                begin.append(step)
        self._push(reversed(begin))

    def knows(self, value: V) -> bool:
        """Tell whether a prepared step makes this value, or has made it."""
        return value in self._makers

    def is_read(self, value: V) -> bool:
        """Tell whether somebody is still to read a value."""
        return self._readers.get(value, 0) > 0

    def hold(self, values: Iterable[V]) -> None:
        """Count one reader more for each of these values, until :meth:`drop`."""
        for value in values:
            self._readers[value] = self._readers.get(value, 0) + 1

    def drop(self, values: Iterable[V]) -> list[V]:
        """Count one reader less; returns the values that nobody reads any more."""
        released: list[V] = []
        for value in values:
            left = self._readers[value] = self._readers[value] - 1
            if left == 0:
                released.append(value)
        return released

    def waiting(self, lane: str) -> list[Waiting]:
        """Return by group the steps of a lane that may begin."""
        groups = self._ready.get(lane, {})
        return [Waiting(heap[0][:2], group, len(heap)) for group, heap in groups.items()]

    def get_ready(self, lane: str) -> S | None:
        """Hand out the newest step of a lane's lowest rank that may begin; None where there is none."""
        groups = self._ready.get(lane)
        if not groups:
            return None
        return self.take(lane, min(groups, key=lambda group: groups[group][0]))

    def take(self, lane: str, group: Hashable) -> S:
        """Hand out the newest step of the lowest rank of one group that :meth:`waiting` names."""
        groups = self._ready[lane]
        *_, step = heapq.heappop(groups[group])
        if not groups[group]:
            del groups[group]
        self.ready -= 1
        return step

    def give_back(self, steps: Iterable[S]) -> None:
        """Take steps back that were handed out and have not begun; the first of them is the newest now."""
        self._push(reversed(list(steps)))

    def done(self, step: S) -> list[V]:
        """Take note that a step has ended well; returns the values that nobody reads any more."""
        self._finished.add(step)
        released = self.drop(dict.fromkeys(self._entries[step].reads))
        begin: list[S] = []
        for dependent in self._dependents.pop(step, ()):
            left = self._waiting[dependent] = self._waiting[dependent] - 1
            if left == 0:
                begin.append(dependent)
        if begin:
            self._push(reversed(begin))
        return released

    def failed(self, step: S) -> list[S]:
        """Take note that a step has failed; returns the steps that can never begin, which are forgotten."""
        skipped: dict[S, None] = {}
        stack = self._dependents.pop(step, [])
        while stack:
            dependent = stack.pop()
            if dependent not in skipped:
                skipped[dependent] = None
                stack.extend(self._dependents.pop(dependent, ()))
        return list(skipped)

    def _push(self, steps: Iterable[S]) -> None:
        for step in steps:
            entry = self._entries[step]
            self._pushed += 1
            heap = self._ready.setdefault(entry.lane, {}).setdefault(entry.group, [])
            heapq.heappush(heap, (entry.rank, -self._pushed, step))
            self.ready += 1
