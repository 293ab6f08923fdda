"""Which weights a plan loads: those of the parts that a node which runs computes with.

Loaders return recipes, and nodes off the device lane only pass them on, changed or held in another value; nothing of
that reads weights. So the search goes back from the device nodes that run, through what they are given, to the outputs
of the loaders.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from graphflow.document.document import Document, split_address
from graphflow.document.flatten import flatten, reached
from graphflow.modelfiles.description import DENOISERS
from graphflow.planning.checked import Source
from graphflow.planning.files import FileUse, add_up
from graphflow.planning.steps import Plan, Step
from graphflow.spec.registry import Registry
from graphflow.values import Conditioning, Guider, Recipe
from graphflow.values.types import type_name


def loaded_weights(plan: Plan) -> dict[str, list[tuple[FileUse, dict[str, int]]]]:
    """Return by step the files that it names, each with the bytes of weights by dtype that the run loads of it."""
    return {
        step.id: [(use, bytes_of(step, use, outputs)) for use in step.files]
        for step, outputs in _wanted_outputs(plan)
        if step.files
    }


def needed_files(made: Plan) -> list[tuple[FileUse, dict[str, int], list[str]]]:
    """Return each file that a step which is not skipped names, once, with the bytes loaded of it and these steps."""
    found: dict[tuple[str, str | None], tuple[FileUse, dict[str, int], list[str]]] = {}
    loaded = loaded_weights(made)
    for step in made.steps.values():
        if step.action == "skipped":
            continue
        for use, sizes in loaded.get(step.id, ()):
            _, most, nodes = found.setdefault((use.need.kind, use.path or use.need.name), (use, {}, []))
            nodes.append(step.id)
            most.update({dtype: max(number, most.get(dtype, 0)) for dtype, number in sizes.items()})
    return list(found.values())


def loaded_bytes(made: Plan) -> dict[str, int]:
    """Return the bytes of weights by dtype that the run loads, each file once."""
    return add_up(sizes for _, sizes, _ in needed_files(made))


def changes_weights(document: Document, registry: Registry, address: str) -> bool:
    """Tell whether a parameter decides which weights are computed with: it is one of a node that gives models."""
    node, parameter = split_address(address)
    flat = flatten(document).document
    specs = (registry.get(flat.nodes[found].type) for found, _ in reached(document, node, parameter or ""))
    return any(output.type.name in _recipes() for spec in specs if spec is not None for output in spec.outputs)


def loading_order(plan: Plan) -> dict[str, int]:
    """Rank device steps so that each model is through before the next is loaded: all texts, then all sampling, ….

    A step that computes with other models than those before it comes in a later phase; within a phase, model by model.
    """
    kinds = _kinds_of(plan)
    models = {type_name(Guider), *_recipes()}
    loaders: dict[Source, frozenset[Source]] = {}
    phases: dict[str, tuple[int, frozenset[Source]]] = {}
    for step in plan.steps.values():
        given = [loaders[source] for source in step.sources if kinds.get(source) in models and source in loaders]
        used = frozenset[Source]().union(*given)
        before = [phases[source.node] for source in step.sources if source.node in phases]
        phase = max((phase for phase, _ in before), default=0)
        earlier = {group for at, group in before if at == phase and group}
        if step.spec.lane == "device" and computes(step):
            phases[step.id] = phase + bool(earlier - {used}), used
            continue
        phases[step.id] = phase, frozenset[Source]().union(*earlier)
        for name in kinds_of(step):
            source = Source(step.id, name)
            loaders[source] = frozenset([source]) if step.files else used
    order = {place: number for number, place in enumerate(sorted(dict.fromkeys(phases.values()), key=itemgetter(0)))}
    return {step: order[place] for step, place in phases.items()}


def _wanted_outputs(plan: Plan) -> Iterator[tuple[Step, frozenset[str] | None]]:
    """Yield each step with those of its outputs whose weights are loaded; None where the step itself computes."""
    kinds = kinds_that_hold(plan)
    wanted: set[Source] = set()
    for step in reversed(tuple(plan.steps.values())):
        given = {source: kinds[source] for source in step.sources if source in kinds}
        outputs = kinds_of(step)
        if step.spec.lane == "device" and computes(step):
            wanted.update(given)
            yield step, None
            continue
        read = {name for name in outputs if Source(step.id, name) in wanted}
        for name in read:
            wanted.update(source for source, kind in given.items() if passes_on(step, kind, name))
        yield step, frozenset(read)


def passes_on(step: Step, kind: str, output: str) -> bool:
    """Tell whether what a step that does not compute is given, of one kind, is in one of its outputs.

    A LoRA's model does not need the text encoder that it passes beside it; a stored encoding needs none.
    """
    outputs = kinds_of(step)
    others = {other for other in outputs.values() if other != outputs[output]}
    return kind == outputs[output] or (step.spec.lane != "device" and kind not in others)


def computes(step: Step) -> bool:
    """Tell whether a step's function is called."""
    return step.action in ("run", "conditional") or (step.action == "write" and not step.artifact_stored)


def kinds_of(step: Step) -> dict[str, str]:
    """Return the kinds of a step's outputs by name; of a sequence that of its elements."""
    return {output.name: (output.type.item or output.type).name for output in step.spec.outputs}


def bytes_of(step: Step, use: FileUse, outputs: frozenset[str] | None) -> dict[str, int]:
    """Return the bytes of a file's weights by dtype that some of a step's outputs hold; None is the step itself."""
    if outputs is None:
        return dict(use.weight_bytes)
    if not outputs:
        return {}
    if len(step.spec.outputs) == 1 or not use.part_bytes:
        return dict(use.weight_bytes)
    kinds = {kind for name, kind in kinds_of(step).items() if name in outputs}
    return add_up(
        size
        for part, size in use.part_bytes.items()
        if any(part in DENOISERS if kind == "model" else part.startswith(kind) for kind in kinds)
    )


def kinds_that_hold(plan: Plan) -> dict[Source, str]:
    """Return the kinds of the plan's outputs that may hold models."""
    holders = {"any", *filter(None, map(type_name, (Conditioning, Guider))), *_recipes()}
    return {source: kind for source, kind in _kinds_of(plan).items() if kind in holders}


def _kinds_of(plan: Plan) -> dict[Source, str]:
    return {Source(step.id, name): kind for step in plan.steps.values() for name, kind in kinds_of(step).items()}


def _recipes() -> set[str]:
    """Return the names of all types of recipes."""
    found: set[str] = set()
    waiting: list[type[Recipe]] = list(Recipe.__subclasses__())
    while waiting:
        kind = waiting.pop()
        found.update(filter(None, [type_name(kind)]))
        waiting.extend(kind.__subclasses__())
    return found
