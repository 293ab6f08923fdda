"""Planning and executing in turns, until a plan has nothing conditional and no stored value that is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphflow import events
from graphflow.errors import GraphflowError
from graphflow.execution.environment import Environment, Outcome, StaleError
from graphflow.execution.lanes import Lanes
from graphflow.execution.run import execute
from graphflow.planning.checked import Source
from graphflow.planning.steps import Plan
from graphflow.store import Store

_STAGES = 1_000
_REPLANS = 20


@dataclass
class Shelf:
    """The store as planning sees it, without entries that turned out damaged."""

    store: Store
    broken: set[str] = field(default_factory=set)

    def contains(self, key: str) -> bool:
        """Tell whether a value is stored and whole, as far as is known."""
        return key not in self.broken and self.store.contains(key)

    def lost(self, key: str) -> None:
        """Take note that a value could not be read after all."""
        self.broken.add(key)  # where the folder does not let go of it
        self.store.evict(key)


def run_stages(
    make_plan: Callable[[Shelf, Mapping[Source, Any]], Plan],
    make_environment: Callable[[Plan], tuple[Environment, Lanes]],
    store: Store,
    sink: events.Sink,
    run_id: str,
) -> tuple[Outcome, Plan]:
    """Plan and execute until nothing is conditional any more; plan again where a stored value turns out damaged.

    Args:
        make_plan: Plans, given what is stored and the selectors that are known by now.
        make_environment: Makes the place where a plan is carried out, and gives the lanes.
        store: Where values are kept.
        sink: Is told what the first plan says.
        run_id: The run, as events know it.

    Returns:
        What all stages did, and the last plan.

    Raises:
        GraphflowError: There is no end to it, or what executing and planning raise.
    """
    shelf, known = Shelf(store), dict[Source, Any]()
    total = Outcome()
    replans = 0
    announced = False
    for _ in range(_STAGES):
        plan = make_plan(shelf, known)
        if not announced:
            counts = {"run": plan.count("run"), "cached": plan.count("cached"), "write": plan.count("write")}
            actions = {step.id: step.action for step in plan.steps.values()}
            sink(events.RunStarted(run_id=run_id, **counts, seeds=plan.expanded.seeds, actions=actions))
            for notice in plan.notices:
                sink(events.Notice(run_id=run_id, node="", message=notice))
            announced = True
        try:
            outcome = execute(plan, *make_environment(plan), done=total.files, contains=shelf.contains)
        except StaleError as error:
            shelf.lost(error.key)
            replans += 1
            if replans > _REPLANS:
                raise GraphflowError(
                    "the store keeps losing values while they are needed",
                    advice="give it more room with GRAPHFLOW_CACHE_BYTES",
                ) from error
            continue
        total.update(outcome)
        if not plan.selectors:
            return total, plan
        known.update({source: outcome.values[source] for source in plan.selectors if source in outcome.values})
    raise GraphflowError(f"the workflow has more than {_STAGES} computed selectors one after another")
