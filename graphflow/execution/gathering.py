"""Variants of a workflow that are planned and run as one, stage by stage, and what each of them gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from graphflow.errors import NodeError
from graphflow.execution.environment import Outcome
from graphflow.execution.filenames import FileNames, Names
from graphflow.execution.result import Result
from graphflow.execution.stages import Shelf
from graphflow.planning.batches import find_marks, leader_of, told_singly
from graphflow.planning.checked import Source
from graphflow.planning.expand import Expanded
from graphflow.planning.steps import Mark, Plan
from graphflow.planning.together import Together, merge, variant_of

PlanOne = Callable[[Expanded, Shelf, Mapping[Source, Any], Mapping[str, Mark]], Plan]


class Gathering:
    """Plans for :func:`graphflow.execution.stages.run_stages`.

    Args:
        variants: The variants by number.
        plan_one: Plans one, given what is stored, the selectors that are known by now, and what is computed together.
        fit: Tells whether all weights that a plan loads stay in memory together.
        batch: How many calls of a sampler may be one: 1 has none merged, None as many as pays.

    Attributes:
        failures: By step: what a node raised. The variants that need it are left out from then on.
        alone: What is not merged, and why, with the number of variants.
    """

    def __init__(
        self, variants: Mapping[int, Expanded], plan_one: PlanOne, fit: Callable[[Plan], bool], batch: int | None = 1
    ) -> None:
        self.failures: dict[str, NodeError] = {}
        self._variants = variants
        self._plan_one = plan_one
        self._fit = fit
        self._batch = batch
        self._marks: dict[str, Mark] = {}
        self.alone: Counter[str] = Counter()
        self._last: dict[int, Together] = {}
        self._known: dict[int, dict[Source, Any]] = {number: {} for number in variants}

    def plan(self, shelf: Shelf, known: Mapping[Source, Any]) -> Plan:
        """Plan what has not failed; its notices tell what is not merged."""
        made = self.merged(shelf, known)
        return replace(made, notices=(*made.notices, *told_singly(self.alone)))

    def merged(self, shelf: Shelf, known: Mapping[Source, Any]) -> Plan:
        """Plan what has not failed."""
        plans: dict[int, Plan] = {}
        for number, expanded in self._variants.items():
            before = self._last.get(number)
            if before is not None:
                if self._failure(number) is not None:
                    continue
                for source in before.plans[number].selectors:
                    if (found := before.source(number, source)) in known:
                        self._known[number][source] = known[found]
            plans[number] = self._plan_one(expanded, shelf, self._known[number], self._marks)
        if self._batch != 1 and not self._last:
            self._marks, self.alone = find_marks(plans, self._batch)
            if self._marks:
                plans = {
                    number: self._plan_one(expanded, shelf, {}, self._marks)
                    for number, expanded in self._variants.items()
                }
        if not plans:
            return replace(next(iter(self._last.values())).plan, steps={}, targets=(), selectors=())
        together = merge(plans)
        if not self._fit(together.plan):
            together = merge(plans, all_fit=False)
        self._last.update(dict.fromkeys(plans, together))
        return together.plan

    def names(self, plan: Plan, now: datetime) -> Names:
        """Return what fills in file names: each variant has values of its own."""
        names = {number: FileNames(self._last[number].plans[number], now) for number in self._last}

        def fill(step: str, stem: str, element: int | None) -> tuple[str, tuple[str, ...]]:
            number, node = variant_of(step)
            assert number is not None
            return names[number](node, stem, element)

        return fill

    def results(self, outcome: Outcome, run_id: str) -> dict[int, Result | NodeError]:
        """Return what each variant gave, or why it gave nothing."""
        shared = replace(outcome, seconds=self._shares(outcome.seconds))
        return {
            number: self._failure(number)
            or Result.of(together.plans[number], shared, run_id, source_of=partial(together.source, number))
            for number, together in self._last.items()
        }

    def _shares(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """Return the time of each step, of those that one computed for several an equal share of its."""
        steps = {id(made): made.plan.steps for made in self._last.values()}
        leaders = {step: leader for found in steps.values() for step in found if (leader := leader_of(found[step]))}
        members = Counter(leaders.values())
        own = {step: seconds.get(leader, 0.0) / members[leader] for step, leader in leaders.items()}
        return {**seconds, **{step: share + seconds.get(step, 0.0) for step, share in own.items()}}

    def _failure(self, number: int) -> NodeError | None:
        together = self._last[number]
        needed = (step.id for step in together.plans[number].steps.values() if step.action != "skipped")
        steps = (step for node in needed for step in together.computed_by(number, node))
        return next(filter(None, map(self.failures.get, steps)), None)
