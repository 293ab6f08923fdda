"""A brake on running ahead: how many elements of a chain of steps may be on their way at once. Pure, like the scheduler.

Where writing is slower than computing, finished elements would wait in memory, all of them. So an element begins only
while few others have begun and are not through all steps that run once per element of the same sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from graphflow.execution.elements import Pending, Placed
from graphflow.planning.checked import Source


@dataclass(eq=False)
class _Chain:
    """Steps that hand their elements on to each other."""

    steps: list[str] = field(default_factory=list)
    left: Counter[int] = field(default_factory=Counter)  # tasks to come, by element
    begun: set[int] = field(default_factory=set)
    aside: dict[int, list[str]] = field(default_factory=dict)  # tasks by element, in the order in which they came
    braked: bool = True

    def merge(self, other: _Chain) -> None:
        self.steps += other.steps
        self.left += other.left
        self.begun |= other.begun
        for element, tasks in other.aside.items():
            self.aside.setdefault(element, []).extend(tasks)
        self.braked = self.braked and other.braked


class Window:
    """Says which elements may begin.

    Args:
        limit: How many elements of a chain may be on their way at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chains: dict[str, _Chain] = {}

    def prepare(self, placed: Iterable[Placed], pending: Iterable[Pending]) -> None:
        """Take in steps that run once per element, and their tasks."""
        for item in placed:
            if not item.over:
                continue
            chain = self._chains[item.step.id] = _Chain([item.step.id])
            for name in item.over:
                argument = item.step.arguments[name]
                before = self._chains.get(argument.node) if isinstance(argument, Source) else None
                if before is not None and before is not chain:
                    before.merge(chain)
                    self._chains.update(dict.fromkeys(chain.steps, before))
                    chain = before
        for task in pending:
            if task.element is not None:
                self._chains[task.placed.step.id].left[task.element] += 1

    def admits(self, task: Pending) -> bool:
        """Tell whether an element's task may begin; if not, it is set aside, and :meth:`done` or :meth:`lift` names it."""
        assert task.element is not None
        chain = self._chains[task.placed.step.id]
        if chain.braked and task.element not in chain.begun:
            if len(chain.begun) >= self._limit:
                chain.aside.setdefault(task.element, []).append(task.name)
                return False
            chain.begun.add(task.element)
        return True

    def done(self, step: str, element: int) -> list[str]:
        """Take note that a task has ended; returns the tasks that may begin now, of those that were set aside."""
        chain = self._chains[step]
        chain.left[element] -= 1
        if chain.left[element]:
            return []
        del chain.left[element]
        chain.begun.discard(element)
        if not chain.aside:
            return []
        following = next(iter(chain.aside))
        chain.begun.add(following)
        return chain.aside.pop(following)

    def lift(self) -> list[str]:
        """Let go of each brake that holds anything, and return what was set aside.

        For when nothing else can go on: a step reads a whole sequence, and what hands single elements on waits for it.
        """
        tasks: list[str] = []
        for chain in self._chains.values():
            if chain.aside:
                tasks += [task for several in chain.aside.values() for task in several]
                chain.aside.clear()
                chain.braked = False
        return tasks
