"""What weight patches do to the weights of a part.

`weight_changes` dispatches on the patch's class; a new kind of patch registers its own function::

    @weight_changes.register
    def _(patch: MyPatch, target: Target) -> dict[str, Change]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import torch

from graphflow.basics.wording import some
from graphflow.errors import ModelFormatError
from graphflow.loading.lora import part_layers, read_lora
from graphflow.loading.lora_layers import ADVICE, Layer
from graphflow.loading.mapped import read_all
from graphflow.loading.merging import attention_changes, counterpart, merge_changes
from graphflow.loading.modules import Change
from graphflow.loading.random_weights import draw
from graphflow.modelfiles.description import DENOISERS
from graphflow.modelfiles.peft_folder import lora_metadata
from graphflow.values import EmbeddingPatch, LoraPatch, ModelFile
from graphflow.values.patches import AttentionScalePatch, MergePatch

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Description, Part


_LORA_SHARE = 0.05
"""Length of a weight's change by a LoRA's stand-in, of that of a random weight."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The part that patches are for.

    Attributes:
        part: The part.
        shapes: Shapes of its tensors by the names of its class.
        describe: From a recipe's file to its description.
        notice: Tells the user something.
        family: The family that it is loaded for; empty where the part alone tells.
    """

    part: Part
    shapes: Mapping[str, torch.Size]
    describe: Callable[[ModelFile], Description]
    notice: Callable[[str], None]
    family: str = ""


@singledispatch
def weight_changes(patch: Any, target: Target) -> dict[str, Change]:
    """The changes that a patch makes, by tensor name.

    Raises:
        ModelFormatError: Nothing is known about such a patch, or its file does not fit.
    """
    raise ModelFormatError(f"nothing is known about weight patches of the type {type(patch).__name__}")


@weight_changes.register
def _(patch: LoraPatch, target: Target) -> dict[str, Change]:
    if patch.strength == 0.0:
        return {}
    description = target.describe(patch.file)
    if description.stands_in:
        return _random_changes(patch, target)
    if description.path is None:
        raise ModelFormatError("is not downloaded yet", where=patch.file.name)
    tensors = read_all(description.path, patch.file.name)
    file = read_lora(tensors, patch.file.name, lora_metadata(description.path))
    found = part_layers(file.layers, target.part, target.shapes, target.family)
    if found.unmatched and not found.matched:
        raise ModelFormatError(
            f"none of its {len(found.unmatched)} layers for the {target.part.name} fits this model"
            f" ({some(found.unmatched)})",
            where=patch.file.name,
            advice=ADVICE,
        )
    if found.unmatched:
        target.notice(
            f"{patch.file.name}: {len(found.unmatched)} of {len(found.unmatched) + len(found.matched)} layers fit"
            f" nothing in the {target.part.name} and are left out: {some(found.unmatched)}"
        )
    by_row = sum(_lengthens_rows(layer, target.shapes[name]) for name, layer in found.matched.items())
    if by_row:
        target.notice(
            f"{patch.file.name}: DoRA sets the lengths of rows in {by_row} layers of the {target.part.name}; they are"
            " measured with the update, as published; some programs measure them without it"
        )
    if target.part.name in DENOISERS:
        if not found.matched:
            target.notice(f"{patch.file.name}: none of its {len(file.layers)} layers is for the {target.part.name}")
        if file.strange:
            target.notice(
                f"{patch.file.name}: {len(file.strange)} of its tensors belong to no layer and are left out:"
                f" {some(file.strange)}"
            )
    return {name: _adding(layer, patch.strength, patch.file.name) for name, layer in found.matched.items()}


@weight_changes.register
def _(patch: EmbeddingPatch, target: Target) -> dict[str, Change]:
    # An embedding changes what prompts mean, not the weights.
    return {}


@weight_changes.register
def _(patch: MergePatch, target: Target) -> dict[str, Change]:
    other = counterpart(patch, target.part, target.describe, target.family)
    inner = combined_changes(patch.other.patches, replace(target, part=other))
    return merge_changes(patch, target.part, target.shapes, other, inner, target.notice)


@weight_changes.register
def _(patch: AttentionScalePatch, target: Target) -> dict[str, Change]:
    return dict(attention_changes(patch, target.shapes))


def combined_changes(
    patches: Iterable[Any], target: Target, before: Mapping[str, Change] | None = None
) -> dict[str, Change]:
    """The changes of several patches, made one after another; of those before them, what they change further."""
    total: dict[str, Change] = {}
    for patch in patches:
        for name, change in weight_changes(patch, target).items():
            total[name] = _then(total[name], change) if name in total else change
    if before:
        total = {name: _then(before[name], change) if name in before else change for name, change in total.items()}
    return total


def _then(first: Change, second: Change) -> Change:
    return lambda weight: second(first(weight))


def _lengthens_rows(layer: Layer, shape: torch.Size) -> bool:
    return layer.magnitude is not None and len(layer.magnitude) == shape[0]


def _random_changes(patch: LoraPatch, target: Target) -> dict[str, Change]:
    """What a LoRA's stand-in does: small random changes of all matrices."""

    def adding(name: str, shape: torch.Size) -> Change:
        scale = patch.strength * _LORA_SHARE
        return lambda weight: weight + scale * draw(f"{patch.file.name}/{name}", shape).to(weight.device)

    return {name: adding(name, shape) for name, shape in target.shapes.items() if len(shape) == 2}


def _adding(layer: Layer, strength: float, where: str) -> Change:
    return lambda weight: layer.apply(weight, strength, where)
