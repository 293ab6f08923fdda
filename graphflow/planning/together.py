"""Several plans as one: what they have in common runs once, and the rest is scheduled together.

Steps of the plan that comes of it are called ``NUMBER/NODE`` by the variant that they come from; no node id has a slash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter

from graphflow.planning.checked import Source
from graphflow.planning.steps import Action, Argument, Constant, Plan, Step
from graphflow.planning.weights import loading_order

_SEPARATOR = "/"
_WORK: tuple[Action, ...] = ("skipped", "cached", "run")


def variant_of(step: str) -> tuple[int | None, str]:
    """Return the variant and the node that a step of a plan comes from; None where the plan is a single one."""
    number, separator, node = step.partition(_SEPARATOR)
    return (int(number), node) if separator else (None, step)


@dataclass(frozen=True)
class Together:
    """Several plans as one.

    Attributes:
        plan: The plan.
        plans: Those that it was made of, by variant.
        homes: By variant and node: the step that makes its value.
    """

    plan: Plan
    plans: Mapping[int, Plan]
    homes: Mapping[int, Mapping[str, str]]

    def source(self, variant: int, source: Source) -> Source:
        """Return where the value of a variant's source comes from."""
        return _source(source, self.homes[variant])


def merge(plans: Mapping[int, Plan], *, all_fit: bool = True) -> Together:
    """Make one plan of several, which were made for the same store.

    Args:
        plans: By variant, one at least; their documents may differ in everything.
        all_fit: Whether all weights stay in memory together. Where they do not, steps come model by model; else each
            variant is finished before the next begins.
    """
    steps: dict[str, Step] = {}
    by_key: dict[str, str] = {}
    homes: dict[int, dict[str, str]] = {}
    for variant, plan in plans.items():
        home = homes[variant] = {}
        for step in plan.steps.values():
            twin = _twin(step, steps, by_key)
            if twin is not None:
                home[step.id] = twin.id
                steps[twin.id] = replace(twin, needed=tuple(sorted({*twin.needed, *step.needed})))
                continue
            name = home[step.id] = f"{variant}{_SEPARATOR}{step.id}"
            arguments = {input: _moved(argument, home) for input, argument in step.arguments.items()}
            steps[name] = replace(step, id=name, arguments=arguments)
            if step.key is not None and step.action != "conditional":
                by_key[step.key] = name
    first = next(iter(plans.values()))
    made = replace(
        first,
        steps=steps,
        targets=_sources(plans, homes, attrgetter("targets")),
        selectors=_sources(plans, homes, attrgetter("selectors")),
        outputs={},
        notices=tuple(dict.fromkeys(notice for plan in plans.values() for notice in plan.notices)),
        trace={},
    )
    order = {number: rank for rank, number in enumerate(plans)}
    ranks = {name: order[variant_of(name)[0] or 0] for name in steps} if all_fit else loading_order(made)
    return Together(replace(made, ranks=ranks), plans, homes)


def _twin(step: Step, steps: Mapping[str, Step], by_key: Mapping[str, str]) -> Step | None:
    """Return the step that makes the same value already, if one does."""
    if step.key is None or step.spec.effect or not step.spec.cache or step.action == "conditional":
        return None
    twin = steps.get(by_key.get(step.key, ""))
    # Another variant may need more of it: what is stored there may lack an output, what is skipped reads what never runs.
    return twin if twin is not None and _WORK.index(twin.action) >= _WORK.index(step.action) else None


def _moved(argument: Argument, home: Mapping[str, str]) -> Argument:
    if isinstance(argument, tuple):
        return tuple(part if isinstance(part, Constant) else _source(part, home) for part in argument)
    return argument if isinstance(argument, Constant) else _source(argument, home)


def _source(source: Source, home: Mapping[str, str]) -> Source:
    return Source(home.get(source.node, source.node), source.output)


def _sources(
    plans: Mapping[int, Plan], homes: Mapping[int, Mapping[str, str]], which: Callable[[Plan], Iterable[Source]]
) -> tuple[Source, ...]:
    found = (_source(source, homes[variant]) for variant, plan in plans.items() for source in which(plan))
    return tuple(dict.fromkeys(found))
