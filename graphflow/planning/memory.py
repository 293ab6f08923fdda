"""The memory that sampling takes beside the weights, as far as a plan knows models and sizes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from graphflow.planning.checked import Source
from graphflow.planning.steps import Constant, Plan, Step

_ITEMSIZE: Mapping[str, int] = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_MODEL, _LATENT = ("model", "guider"), ("latent",)
"""Inputs of nodes that sample, and of what stands before them."""
_SAME_SIZE = frozenset({"latent", "mask"})
"""Inputs of nodes that leave the size of a latent."""


def evaluation_bytes(made: Plan) -> dict[str, int]:
    """Return, for each step that samples, what one evaluation of one picture holds at its peak, in bytes, estimated.

    Steps whose model tells no sizes are left out, and those whose picture has a size that only the run knows.
    """
    found: dict[str, int] = {}
    for step in made.steps.values():
        if step.action not in ("run", "conditional") or not _samples(step):
            continue
        footprints = [use.footprint for owner in _back(made, step, _MODEL) for use in owner.files if use.footprint]
        pixels = _pixels(made, step)
        if footprints and pixels:
            text, each = footprints[0]
            found[step.id] = int((text + each * pixels) * _ITEMSIZE.get(made.numerics.compute, 4))
    return found


def _samples(step: Step) -> bool:
    return step.spec.lane == "device" and "latent" in step.arguments and bool({*_MODEL} & {*step.arguments})


def _back(made: Plan, step: Step, names: Collection[str]) -> Iterator[Step]:
    """Yield the steps that stand before one, the nearest first, through inputs of these names."""
    sources = [step.arguments.get(name) for name in names]
    for source in sources:
        if isinstance(source, Source) and (before := made.steps.get(source.node)) is not None:
            yield before
            yield from _back(made, before, names)


def _pixels(made: Plan, step: Step) -> int:
    """Return how many pixels a step samples; 0 where only the run knows."""
    for before in _back(made, step, _LATENT):
        edges = [before.arguments.get(name) for name in ("width", "height")]
        if all(isinstance(edge, Constant) and isinstance(edge.value, int) for edge in edges):
            width, height = (edge.value for edge in edges if isinstance(edge, Constant))
            return int(width * height)
        if not _samples(before) and not before.arguments.keys() <= _SAME_SIZE:
            return 0
    return 0
