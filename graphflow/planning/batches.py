"""Which steps of several plans are computed in one call, though each has inputs of its own.

Numbers may differ in the last bits from those of single calls, so such values have keys of their own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Any

from graphflow import runtime
from graphflow.basics.jsontools import digest
from graphflow.basics.measures import count
from graphflow.errors import CancelledError, StaleTapeError, is_out_of_memory
from graphflow.planning.checked import Source
from graphflow.planning.steps import Argument, Constant, Mark, Plan, Step, literals_of, output_key
from graphflow.spec.decorator import Merging, NodeSpec, OutputSpec
from graphflow.spec.link_types import ANY

CALLS, INDEX = "calls", "index"
_BATCH = "~batch"


def find_marks(plans: Mapping[int, Plan], most: int | None) -> tuple[dict[str, Mark], Counter[str]]:
    """Find the steps that are to be computed together.

    Args:
        plans: By variant.
        most: How many at once; None is as many as pays.

    Returns:
        By key: a mark that those which may be one call have in common; and of how many others something is to be told.
    """
    groups: dict[str, dict[str, int]] = {}
    names: dict[str, str] = {}
    alone: Counter[str] = Counter()
    for plan in plans.values():
        sequences = plan.maybe_sequences()
        for step in plan.steps.values():
            merging = step.spec.merging
            if merging is None or step.action not in ("run", "conditional"):
                continue
            if step.key is None or step.action == "conditional":
                alone[f"{step.id} runs singly: what it computes is not known before the run"] += 1
                continue
            number, why = _most(step, plan, merging, most)
            if why is None and any(_is_sequence(argument, sequences) for argument in step.arguments.values()):
                why = "it runs for each element of a sequence"
            if why is not None:
                alone[f"{step.id} runs singly: {why}"] += 1
            elif number > 1:
                group = _group(step, plan, merging)
                groups.setdefault(group, {})[step.key] = number
                names[group] = step.id
            else:
                alone[f"{step.id} runs singly: it would not be faster at this size"] += 1
    marks = {
        key: Mark(group, number) for group, found in groups.items() if len(found) > 1 for key, number in found.items()
    }
    lonely = Counter(names[group] for group, found in groups.items() if len(found) == 1)
    for name, number in lonely.items():
        if sum(name == other for other in names.values()) > 1:
            alone[f"{name} runs singly: no other variant differs in seed and prompts only"] += number
    return marks, alone


def told_singly(alone: Mapping[str, int]) -> list[str]:
    """Say what is not merged, and of how many variants."""
    return [f"{text} ({count(number, 'variant')})" for text, number in alone.items()]


def gather(steps: Mapping[str, Step]) -> dict[str, Step]:
    """Have marked steps that run computed by one step for several of them, in topological order."""
    groups: dict[Mark, list[Step]] = {}
    for step in steps.values():
        if step.mark is not None and step.action == "run":
            groups.setdefault(step.mark, []).append(step)
    made = dict(steps)
    for mark, group in groups.items():
        for start in range(0, len(group), mark.most):
            members = group[start : start + mark.most]
            leader = _leader(members)
            made[leader.id] = leader
            made.update((step.id, _taking(step, leader, index)) for index, step in enumerate(members))
    order = TopologicalSorter({step.id: [source.node for source in step.sources] for step in made.values()})
    return {name: made[name] for name in order.static_order()} if groups else made


def leader_of(step: Step) -> str | None:
    """Return the step that computes this one together with others."""
    calls = step.arguments.get(CALLS)
    return calls.node if step.mark is not None and isinstance(calls, Source) else None


def computes_at_once(step: Step) -> tuple[str, int] | None:
    """Return which node of how many variants a step computes at once; None for one that computes its own."""
    if step.spec.primary != CALLS:
        return None
    return step.id.removesuffix(_BATCH), len({name.partition(".")[0] for name in step.arguments})


def _leader(members: Sequence[Step]) -> Step:
    first = members[0]
    merging = first.spec.merging
    assert merging is not None
    return replace(
        first,
        id=f"{first.id}{_BATCH}",
        spec=replace(
            first.spec,
            type=f"{first.spec.type}{_BATCH}",
            function=_calling(first.spec, merging),
            inputs={
                f"{index}.{name}": given for index, _ in enumerate(members) for name, given in first.spec.inputs.items()
            },
            outputs=(OutputSpec(CALLS, ANY),),
            primary=CALLS,
            map=False,
            persist=False,
            merging=None,
        ),
        reason=f"computes {count(len(members), 'variant')} at once",
        key=digest([step.key for step in members]),
        arguments={
            f"{index}.{name}": argument
            for index, step in enumerate(members)
            for name, argument in step.arguments.items()
        },
        files=tuple(dict.fromkeys(use for step in members for use in step.files)),
        needed=(CALLS,),
        mark=None,
    )


def _taking(step: Step, leader: Step, index: int) -> Step:
    spec = replace(
        step.spec,
        type=f"{step.spec.type}~taken",
        function=_take,
        inputs={},
        lane="cpu",
        generates=False,
        map=False,
        merging=None,
    )
    return replace(step, spec=spec, files=(), arguments={CALLS: Source(leader.id, CALLS), INDEX: Constant(index)})


def _calling(spec: NodeSpec, merging: Merging) -> Callable[..., tuple[Any, ...]]:
    def call(**arguments: Any) -> tuple[Any, ...]:
        """Compute several calls at once; where one fails, each by itself, with the error as its result."""
        calls: dict[str, dict[str, Any]] = {}
        for name, value in arguments.items():
            index, _, input = name.partition(".")
            calls.setdefault(index, {})[input] = value
        found = _tried(merging.function, list(calls.values()))
        if not isinstance(found, Exception):
            return tuple(found)
        singles = tuple(_tried(lambda given: spec.function(**given), given) for given in calls.values())
        if not any(isinstance(single, Exception) for single in singles):  # else that error is told
            runtime.current().notice(f"{len(singles)} variants run singly, because together they fail: {found}")
        return singles

    return call


def _tried(function: Callable[[Any], Any], argument: Any) -> Any:
    """Return what a function returns, or the error that it raises, if it is one of this call."""
    try:
        return function(argument)
    except (CancelledError, StaleTapeError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return error


def _take(calls: Sequence[Any], index: int) -> Any:
    if isinstance(calls[index], Exception):
        raise calls[index]
    return calls[index]


def _most(step: Step, plan: Plan, merging: Merging, most: int | None) -> tuple[int, str | None]:
    """Return how many calls like a step's may be one, or why none."""
    if (why := merging.alone(literals_of(step.arguments))) is not None:
        return 1, why
    if most is not None:
        return most, None
    size = _size(step, plan)
    return (merging.most(*size), None) if size else (1, "the size of its picture is not known before it runs")


def _size(step: Step, plan: Plan) -> tuple[int, int] | None:
    """Return width and height in pixels, as the nearest step before says them."""
    for at in back(step, plan):
        if at.spec.inputs.keys() >= {"width", "height"}:
            found = [at.arguments.get(name, Constant(at.spec.inputs[name].default)) for name in ("width", "height")]
            numbers = [part.value for part in found if isinstance(part, Constant) and isinstance(part.value, int)]
            return (numbers[0], numbers[1]) if len(numbers) == 2 else None
    return None


def back(step: Step, plan: Plan) -> Iterator[Step]:
    """Yield a step and those before it, the nearest first."""
    waiting, seen = deque([step]), {step.id}
    while waiting:
        at = waiting.popleft()
        yield at
        before = [plan.steps[source.node] for source in at.sources if source.node not in seen]
        seen.update(other.id for other in before)
        waiting.extend(before)


def _is_sequence(argument: Argument, sequences: set[Source]) -> bool:
    return (
        argument in sequences
        if isinstance(argument, Source)
        else isinstance(argument, tuple) or isinstance(getattr(argument, "value", None), tuple)
    )


def _group(step: Step, plan: Plan, merging: Merging) -> str:
    """Return what steps have in common that may be one call."""

    def shown(part: Constant | Source, varied: Collection[str] = ()) -> Any:
        if isinstance(part, Constant):
            return {"value": part.value}
        maker = plan.steps[part.node]
        if varied:
            return [part.output, maker.spec.type, maker.spec.version, same(maker, varied), sorted(maker.arguments)]
        return None if maker.key is None else output_key(maker.key, part.output)

    def same(at: Step, varied: Collection[str], behind: Mapping[str, Collection[str]] = MappingProxyType({})) -> Any:
        return {
            name: [shown(part) for part in argument]
            if isinstance(argument, tuple)
            else shown(argument, behind.get(name, ()))
            for name, argument in at.arguments.items()
            if name not in varied
        }

    common = same(step, merging.varied, merging.behind)
    return digest([step.spec.type, step.spec.version, common, sorted(step.arguments)])
