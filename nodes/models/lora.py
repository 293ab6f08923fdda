"""Nodes that adapt a model with a LoRA file. They return recipes: the file is merged when a node computes."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.errors import ModelFormatError
from graphflow.spec.decorator import ModelName, node
from graphflow.values import LoraPatch, Model, ModelFile, TextEncoder

__all__ = ["apply_lora"]

Strength = Annotated[float, Field(ge=-100, le=100)]


class Adapted(NamedTuple):
    """A model and its text encoder, with one more LoRA."""

    model: Annotated[Model, Field(description="the model with the LoRA")]
    text_encoder: Annotated[
        TextEncoder | None, Field(description="the text encoder with the LoRA; none where none is linked")
    ]


@node("apply_lora", map=True)
def apply_lora(
    model: Annotated[Model, Field(description="the denoising model")],
    lora: Annotated[str, ModelName("lora"), Field(min_length=1, description="a LoRA, LoHa, LoKr or DoRA file")],
    text_encoder: Annotated[
        TextEncoder | None, Field(description="the text encoder; without it only the model is changed")
    ] = None,
    strength: Annotated[
        Strength, Field(description="how much the model changes: 0 nothing, 1 as trained, below 0 the opposite")
    ] = 1.0,
    text_encoder_strength: Annotated[Strength, Field(description="how much the text encoder changes")] = 1.0,
) -> Adapted:
    """Change a model, and its text encoder where linked, by a LoRA; several are stacked by chaining.

    W' = W + strength * alpha / rank * up @ down (Hu et al. 2021, arXiv:2106.09685). Files of kohya, PEFT and Diffusers
    are known, and the methods LoHa, LoKr, DoRA and full differences. Layers that fit nothing are left out, with a notice
    that names them.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file is no LoRA, or one for another family.
    """
    found = runtime.current().models.find(lora, "lora", part="")
    require_family(found, model.family, "model")
    if text_encoder is not None:
        require_family(found, text_encoder.family, "text encoder")
        text_encoder = text_encoder.patched(LoraPatch(file=found, strength=text_encoder_strength))
    return Adapted(model.patched(LoraPatch(file=found, strength=strength)), text_encoder)


def require_family(file: ModelFile, family: str, what: str) -> None:
    """Refuse a file that says it is for another family.

    Raises:
        ModelFormatError: It does.
    """
    if file.family and family and file.family != family:
        raise ModelFormatError(
            f"this {file.kind.replace('_', ' ')} is for models of the family {file.family}, the {what} is {family}",
            where=file.name,
            advice=f"use one that was made for {family}, or load a {file.family} checkpoint",
        )
