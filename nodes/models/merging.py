"""Nodes that merge models. They return recipes: weights are mixed, tensor by tensor, when a node computes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.errors import ModelFormatError
from graphflow.spec.decorator import node
from graphflow.values import Model, Recipe, TextEncoder
from graphflow.values.patches import AttentionScalePatch, MergePatch

__all__ = [
    "add_models",
    "add_text_encoders",
    "merge_model_blocks",
    "merge_models",
    "merge_text_encoders",
    "scale_attention",
    "scale_text_attention",
    "subtract_models",
    "subtract_text_encoders",
]

Ratio = Annotated[float, Field(ge=0, le=1)]
ModelLink = Annotated[Model, Field(description="the denoising model")]
OtherModel = Annotated[Model, Field(description="another one of the same family, with its own LoRAs and merges")]
EncoderLink = Annotated[TextEncoder, Field(description="the text encoder")]
OtherEncoder = Annotated[TextEncoder, Field(description="another one of the same family")]
Share = Annotated[Ratio, Field(description="share of the first: 1 is the first alone, 0 the other alone")]
Multiplier = Annotated[float, Field(ge=-10, le=10, description="factor on the difference")]
Factor = Annotated[float, Field(ge=0, le=10)]


@node("merge_models", map=True)
def merge_models(model: ModelLink, other: OtherModel, ratio: Share = 0.5) -> Model:
    """Mix two models: ratio * W + (1 - ratio) * W_other.

    Raises:
        ModelFormatError: They are of different families.
    """
    return model.patched(_merge(model, other, ratio, 1.0 - ratio))


@node("add_models", map=True)
def add_models(model: ModelLink, other: OtherModel) -> Model:
    """Add the weights of another model, mostly a difference that subtract_models made: W + W_other.

    Raises:
        ModelFormatError: They are of different families.
    """
    return model.patched(_merge(model, other, 1.0, 1.0))


@node("subtract_models", map=True)
def subtract_models(model: ModelLink, other: OtherModel, multiplier: Multiplier = 1.0) -> Model:
    """Take the difference of two models, to be added to a third: multiplier * (W - W_other).

    Raises:
        ModelFormatError: They are of different families.
    """
    return model.patched(_merge(model, other, multiplier, -multiplier))


@node("merge_model_blocks", map=True)
def merge_model_blocks(
    model: ModelLink,
    other: OtherModel,
    input_ratio: Annotated[
        Ratio, Field(description="share of the first in the input blocks and in what belongs to no block")
    ] = 1.0,
    middle_ratio: Annotated[Ratio, Field(description="share of the first in the middle block")] = 1.0,
    output_ratio: Annotated[Ratio, Field(description="share of the first in the output blocks")] = 1.0,
    blocks: Annotated[
        dict[str, Ratio] | None,
        Field(
            description="shares for single blocks, which win over the three: beginnings of tensor names in the original"
            ' or in Diffusers\' naming, e.g. {"input_blocks.4.": 0.3, "time_embed.": 1, "up_blocks.2.": 0}'
        ),
    ] = None,
) -> Model:
    """Mix two models with another share in each block of the UNet.

    Raises:
        ModelFormatError: They are of different families.
    """
    _require_family(model, other)
    sections = {"middle_block": middle_ratio, "out": output_ratio}
    return model.patched(
        MergePatch(other=other, keep=input_ratio, add=1.0 - input_ratio, blocks=blocks or {}, sections=sections)
    )


@node("merge_text_encoders", map=True)
def merge_text_encoders(text_encoder: EncoderLink, other: OtherEncoder, ratio: Share = 0.5) -> TextEncoder:
    """Mix two text encoders: ratio * W + (1 - ratio) * W_other.

    Raises:
        ModelFormatError: They are of different families.
    """
    return text_encoder.patched(_merge(text_encoder, other, ratio, 1.0 - ratio))


@node("add_text_encoders", map=True)
def add_text_encoders(text_encoder: EncoderLink, other: OtherEncoder) -> TextEncoder:
    """Add the weights of another text encoder, mostly a difference: W + W_other.

    Raises:
        ModelFormatError: They are of different families.
    """
    return text_encoder.patched(_merge(text_encoder, other, 1.0, 1.0))


@node("subtract_text_encoders", map=True)
def subtract_text_encoders(text_encoder: EncoderLink, other: OtherEncoder, multiplier: Multiplier = 1.0) -> TextEncoder:
    """Take the difference of two text encoders: multiplier * (W - W_other).

    Raises:
        ModelFormatError: They are of different families.
    """
    return text_encoder.patched(_merge(text_encoder, other, multiplier, -multiplier))


@node("scale_attention", map=True)
def scale_attention(
    model: ModelLink,
    attention: Annotated[
        Literal["cross", "self"], Field(description="cross: attention to the text; self: of the picture to itself")
    ] = "cross",
    q: Annotated[Factor, Field(description="factor on the queries")] = 1.0,
    k: Annotated[Factor, Field(description="factor on the keys")] = 1.0,
    v: Annotated[Factor, Field(description="factor on the values")] = 1.0,
    out: Annotated[Factor, Field(description="factor on the output")] = 1.0,
) -> Model:
    """Multiply the projections of every cross- or self-attention layer of a UNet."""
    return model.patched(AttentionScalePatch(attention=attention, q=q, k=k, v=v, out=out))


@node("scale_text_attention", map=True)
def scale_text_attention(
    text_encoder: EncoderLink,
    q: Annotated[Factor, Field(description="factor on the queries")] = 1.0,
    k: Annotated[Factor, Field(description="factor on the keys")] = 1.0,
    v: Annotated[Factor, Field(description="factor on the values")] = 1.0,
    out: Annotated[Factor, Field(description="factor on the output")] = 1.0,
) -> TextEncoder:
    """Multiply the projections of every attention layer of the text encoders."""
    return text_encoder.patched(AttentionScalePatch(attention="text", q=q, k=k, v=v, out=out))


def _merge(recipe: Recipe, other: Recipe, keep: float, add: float) -> MergePatch:
    _require_family(recipe, other)
    return MergePatch(other=other, keep=keep, add=add)


def _require_family(recipe: Recipe, other: Recipe) -> None:
    if recipe.family and other.family and recipe.family != other.family:
        raise ModelFormatError(
            f"is of the family {other.family} and cannot be merged with {recipe.files[0].name}, which is {recipe.family}",
            where=other.files[0].name,
            advice="merge models of the same family",
        )
