"""Nodes that change the model's weights for one prompt, and over the steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, TypeAlias

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Conditioning, LoraPatch, Model, ScheduledWeights, TextEncoder

from ..choices import Told
from ..models.lora import Strength, require_family

__all__ = ["add_conditioning_lora", "add_conditioning_model", "apply_text_encoder_lora"]

Schedule: TypeAlias = Annotated[
    str,
    Field(
        max_length=10_000,
        description="factors on the strength by share of the sampling, each until the next: `0:1 0.5:0.2`; the first"
        " holds from the beginning, empty is 1 throughout",
    ),
]
LoraName: TypeAlias = Annotated[
    str, ModelName("lora"), Field(min_length=1, description="a LoRA, LoHa, LoKr or DoRA file")
]


@node("add_conditioning_lora", map=True)
def add_conditioning_lora(
    conditioning: Told,
    lora: LoraName,
    strength: Annotated[
        Strength, Field(description="how much the model changes: 0 nothing, 1 as trained, below 0 the opposite")
    ] = 1.0,
    schedule: Schedule = "",
) -> Conditioning:
    """Have the model evaluate this prompt with a LoRA, and all others without; several are stacked by chaining.

    With masks or areas each part of a picture has LoRAs of its own. Prompts with different LoRAs are evaluated one after
    the other, so sampling takes longer. The text encoder stays as it is; see ``apply_text_encoder_lora``.

    Raises:
        InvalidInputError: The schedule is none.
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: When the model is used: the file is no LoRA, or one for another family.
    """
    file = runtime.current().models.find(lora, "lora", part="")
    return _with(conditioning, ScheduledWeights(source=file, strength=strength, schedule=_factors(schedule)))


@node("add_conditioning_model", map=True)
def add_conditioning_model(
    conditioning: Told,
    model: Annotated[Model, Field(description="another model of the same family")],
    strength: Annotated[Strength, Field(description="share of the other model's weights: 0 none, 1 these alone")] = 1.0,
    schedule: Schedule = "",
) -> Conditioning:
    """Have the model evaluate this prompt with weights (1 - strength) * W + strength * W_other, and all others without.

    Raises:
        InvalidInputError: The schedule is none.
        ModelFormatError: When the model is used: the other is of another family.
    """
    return _with(conditioning, ScheduledWeights(source=model, strength=strength, schedule=_factors(schedule)))


@node("apply_text_encoder_lora", map=True)
def apply_text_encoder_lora(
    text_encoder: Annotated[TextEncoder, Field(description="the text encoder")],
    lora: LoraName,
    strength: Annotated[Strength, Field(description="how much the text encoder changes")] = 1.0,
) -> TextEncoder:
    """Change a text encoder alone by a LoRA; ``apply_lora`` changes the model, too.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file is no LoRA, or one for another family.
    """
    found = runtime.current().models.find(lora, "lora", part="")
    require_family(found, text_encoder.family, "text encoder")
    return text_encoder.patched(LoraPatch(file=found, strength=strength))


def _with(conditioning: Conditioning, change: ScheduledWeights) -> Conditioning:
    entries = (replace(entry, weights=(*entry.weights, change)) for entry in conditioning.entries)
    return Conditioning(entries=tuple(entries))


def _factors(schedule: str) -> tuple[tuple[float, float], ...]:
    """Read a schedule.

    Raises:
        InvalidInputError: It is none.
    """
    try:
        pairs = [part.split(":") for part in schedule.replace(",", " ").split()]
        found = tuple((float(start), float(factor)) for start, factor in pairs)
    except ValueError:
        raise InvalidInputError(
            f"no schedule is {schedule!r}", where="schedule", advice="write share:factor pairs, such as 0:1 0.5:0.2"
        ) from None
    starts = [start for start, _ in found]
    if starts != sorted(set(starts)) or any(not (0 <= start <= 1 and abs(factor) <= 100) for start, factor in found):
        raise InvalidInputError(
            f"the schedule {schedule!r} is out of order or range",
            where="schedule",
            advice="shares of the sampling ascend from 0 to 1, factors lie between -100 and 100",
        )
    return found
