"""What weight patches do to the weights of a part.

`weight_changes` dispatches on the patch's class; a new kind of patch registers its own function::

    @weight_changes.register
    def _(patch: MyPatch, target: Target) -> dict[str, Change]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import torch

from graphflow.errors import ModelFormatError
from graphflow.models.lora import LoraLayer, part_layers, read_lora
from graphflow.models.mapped import read_all
from graphflow.models.modules import Change
from graphflow.values import EmbeddingPatch, LoraPatch, ModelFile

if TYPE_CHECKING:
    from graphflow.models.description import Description, Part


@dataclass(frozen=True, kw_only=True)
class Target:
    """The part that patches are for.

    Attributes:
        part: The part.
        shapes: Shapes of its tensors by the names of its class.
        describe: From a recipe's file to its description.
        notice: Tells the user something.
    """

    part: Part
    shapes: Mapping[str, torch.Size]
    describe: Callable[[ModelFile], Description]
    notice: Callable[[str], None]


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
    if description.path is None:
        raise ModelFormatError("is not downloaded yet", where=patch.file.name)
    layers = read_lora(read_all(description.path), patch.file.name)
    found = part_layers(layers, target.part, target.shapes)
    if found.unmatched and not found.matched:
        raise ModelFormatError(
            f"none of its {len(found.unmatched)} layers for the {target.part.name} fits this model"
            f" ({_some(found.unmatched)})",
            where=patch.file.name,
            advice="use a LoRA of the model's own family",
        )
    if found.unmatched:
        target.notice(
            f"{patch.file.name}: {len(found.unmatched)} of {len(found.unmatched) + len(found.matched)} layers fit"
            f" nothing in the {target.part.name} and are left out: {_some(found.unmatched)}"
        )
    return {name: _adding(layer, patch.strength, patch.file.name) for name, layer in found.matched.items()}


@weight_changes.register
def _(patch: EmbeddingPatch, target: Target) -> dict[str, Change]:
    # An embedding changes what prompts mean, not the weights.
    return {}


def combined_changes(patches: Iterable[Any], target: Target) -> dict[str, Change]:
    """The changes of several patches, made one after another."""
    total: dict[str, Change] = {}
    for patch in patches:
        for name, change in weight_changes(patch, target).items():
            total[name] = _then(total[name], change) if name in total else change
    return total


def _then(first: Change, second: Change) -> Change:
    return lambda weight: second(first(weight))


def _adding(layer: LoraLayer, strength: float, where: str) -> Change:
    def change(weight: torch.Tensor) -> torch.Tensor:
        delta = layer.delta(weight.device)
        if delta.numel() != weight.numel():
            raise ModelFormatError(
                f"its layer {layer.name} has the shape {list(delta.shape)}, the model's {list(weight.shape)}",
                where=where,
                advice="use a LoRA of the model's own family",
            )
        return weight + strength * delta.reshape(weight.shape)

    return change


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:3])
    return f"{shown} and {len(ordered) - 3} more" if len(ordered) > 3 else shown
