"""Who writes next. Pure, like the scheduler.

Files are numbered as they are written, and lanes finish in any order. So an effect waits for those of its node type that
stand before it in the plan, and the names are those of one lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from graphflow.planning.steps import Step


class Turns:
    """Says which effects may begin.

    Args:
        steps: The steps of a run, in the order of the plan.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self._lines: dict[str, deque[str]] = {}
        self._aside: dict[str, list[str]] = {}
        self._ended: set[str] = set()
        for step in steps:
            if step.spec.effect:
                self._lines.setdefault(step.spec.type, deque()).append(step.id)

    def admits(self, step: Step, task: str) -> bool:
        """Tell whether a step's task may begin; if not, it is set aside, and :meth:`end` names it."""
        line = self._lines.get(step.spec.type)
        if not line or line[0] == step.id:
            return True
        self._aside.setdefault(step.id, []).append(task)
        return False

    def end(self, steps: Iterable[Step]) -> list[str]:
        """Take note that steps write no more; returns the tasks that may begin now, of those that were set aside."""
        tasks: list[str] = []
        for step in steps:
            line = self._lines.get(step.spec.type)
            if line is None:
                continue
            self._ended.add(step.id)
            while line and line[0] in self._ended:
                line.popleft()
                tasks += self._aside.pop(line[0], ()) if line else ()
        return tasks
