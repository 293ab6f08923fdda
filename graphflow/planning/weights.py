"""Which weights a plan loads: those of the parts that a node which runs computes with.

Loaders return recipes, and nodes off the device lane only pass them on, changed or held in another value; nothing of
that reads weights. So the search goes back from the device nodes that run, through what they are given, to the outputs
of the loaders.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.planning.checked import Source
from graphflow.planning.files import FileUse, add_up
from graphflow.planning.steps import Plan, Step
from graphflow.values import Conditioning, Guider, Recipe
from graphflow.values.types import type_name

_DENOISERS = ("unet", "transformer")


def loaded_weights(plan: Plan) -> dict[str, list[tuple[FileUse, dict[str, int]]]]:
    """Return by step the files that it names, each with the bytes of weights by dtype that the run loads of it."""
    return {
        step.id: [(use, _bytes(step, use, outputs)) for use in step.files]
        for step, outputs in _wanted_outputs(plan)
        if step.files
    }


def _wanted_outputs(plan: Plan) -> Iterator[tuple[Step, frozenset[str] | None]]:
    """Yield each step with those of its outputs whose weights are loaded; None where the step itself computes."""
    holders = {"any", *filter(None, map(type_name, (Conditioning, Guider, *_recipe_types())))}
    kinds = {Source(step.id, name): kind for step in plan.steps.values() for name, kind in _kinds(step).items()}
    wanted: set[Source] = set()
    for step in reversed(tuple(plan.steps.values())):
        given = {source: kinds[source] for source in step.sources if kinds.get(source) in holders}
        outputs = _kinds(step)
        if step.spec.lane == "device" and _computes(step):
            wanted.update(given)
            yield step, None
            continue
        read = {name for name in outputs if Source(step.id, name) in wanted}
        for name in read:
            # A LoRA's model does not need the text encoder that it passes beside it; a stored encoding needs none.
            others = {kind for kind in outputs.values() if kind != outputs[name]}
            wanted.update(
                source
                for source, kind in given.items()
                if kind == outputs[name] or (step.spec.lane != "device" and kind not in others)
            )
        yield step, frozenset(read)


def _computes(step: Step) -> bool:
    return step.action in ("run", "conditional") or (step.action == "write" and not step.artifact_stored)


def _kinds(step: Step) -> dict[str, str]:
    return {output.name: (output.type.item or output.type).name for output in step.spec.outputs}


def _bytes(step: Step, use: FileUse, outputs: frozenset[str] | None) -> dict[str, int]:
    if outputs is None:
        return dict(use.weight_bytes)
    if not outputs:
        return {}
    if len(step.spec.outputs) == 1 or not use.part_bytes:
        return dict(use.weight_bytes)
    kinds = {kind for name, kind in _kinds(step).items() if name in outputs}
    return add_up(
        size
        for part, size in use.part_bytes.items()
        if any(part in _DENOISERS if kind == "model" else part.startswith(kind) for kind in kinds)
    )


def _recipe_types() -> Iterator[type[Recipe]]:
    waiting: list[type[Recipe]] = list(Recipe.__subclasses__())
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting.extend(kind.__subclasses__())
