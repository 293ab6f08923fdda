"""What steps need to have loaded: the weights that each computes with, and how often it goes through them."""

from __future__ import annotations

from dataclasses import dataclass

from graphflow.planning.checked import Source
from graphflow.planning.steps import Constant, Plan, Step
from graphflow.planning.weights import bytes_of, computes, kinds_of, kinds_that_hold, passes_on

Weights = frozenset[tuple[str, int]]
"""Parts of model files: what names each, and its bytes."""

_PASSES = 20
"""Of a sampler whose steps are known once it runs."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a step computes with. Equal ones cost alike.

    Attributes:
        type: The node type.
        weights: The parts of model files that are loaded for it.
        passes: How many times it goes through them.
    """

    type: str = ""
    weights: Weights = frozenset()
    passes: int = 1


def needs_of(plan: Plan) -> dict[str, Needs]:
    """Return what the steps of a plan need that compute on a device."""
    kinds = kinds_that_hold(plan)
    held: dict[Source, Weights] = {}
    found: dict[str, Needs] = {}
    for step in plan.steps.values():
        given = {source: held[source] for source in step.sources if source in held}
        if step.spec.lane == "device" and computes(step):
            found[step.id] = Needs(step.spec.type, Weights().union(_own(step, None), *given.values()), _passes(step))
            continue
        for output in step.spec.outputs:
            if (source := Source(step.id, output.name)) in kinds:
                before = (weights for at, weights in given.items() if passes_on(step, kinds[at], output.name))
                held[source] = Weights().union(_own(step, output.name), *before)
    return found


def _own(step: Step, output: str | None) -> Weights:
    """Return the parts of a step's own files that one of its outputs stands for; None is the step itself."""
    kind = "" if output is None else kinds_of(step)[output]
    outputs = None if output is None else frozenset([output])
    return frozenset(
        (f"{use.path or use.need.name}#{kind}", sum(bytes_of(step, use, outputs).values())) for use in step.files
    )


def _passes(step: Step) -> int:
    given = step.arguments.get("steps")
    if isinstance(given, Constant) and isinstance(given.value, int):
        return given.value
    return _PASSES if step.spec.generates else 1
