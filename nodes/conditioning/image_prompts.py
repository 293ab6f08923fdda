"""Prompts by pictures, beside what texts say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Conditioning, Image, ImageEncoder, StyleModel

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["add_image_prompt"]


@node("add_image_prompt", lane="device")
def add_image_prompt(
    conditioning: Annotated[Conditioning, Field(description="the conditioning")],
    image_encoder: Annotated[ImageEncoder, Field(description="the image encoder")],
    image: Annotated[Image, Field(description="the picture")],
    style_model: Annotated[
        str,
        ModelName("style_model"),
        Field(description="a style model (Flux Redux, T2I-Adapter style); empty for unCLIP checkpoints and SDXL"),
    ] = "",
    crop: Annotated[Literal["center", "none"], Field(description="how the picture is made square")] = "center",
    strength: Annotated[float, Field(ge=-10, le=10, description="factor on the picture's embedding")] = 1.0,
    noise_augmentation: Annotated[float, Field(ge=0, le=1, description="of unCLIP: noise on the embedding")] = 0.0,
    strength_type: Annotated[
        Literal["multiply", "attention"],
        Field(
            description="of a style model: what the strength is a factor on, the picture's tokens or the attention"
            " that they get, where 0 leaves the picture out"
        ),
    ] = "multiply",
) -> Conditioning:
    """Prompt by a picture: with a style model, or a model that reads pictures itself (unCLIP checkpoints, SDXL's revision).

    A style model's tokens (T, C) stand behind those of the text, those of a batch side by side. Models that read
    pictures get the sum of what the image encoder sees in all of them, with noise from the sampling's seed; SDXL reads
    it in place of the text's pooled vector, and reads no text where ``zero_conditioning`` takes it away.
    ``apply_ip_adapter`` prompts by pictures, too.

    Raises:
        InvalidInputError: The style model reads another image encoder or is of another family, the attention's strength
            is negative, or the image encoder has no vector for a whole picture.
    """
    if not style_model:
        if strength == 0:
            return conditioning
        with image_encoder.use() as encoder:
            vectors = encoder.vectors(image.pixels, crop)
        return _with_vectors(conditioning, vectors, strength, noise_augmentation)
    by_attention = strength_type == "attention"
    if by_attention and strength < 0:
        raise InvalidInputError("the strength of attention cannot be negative", where="strength")
    if by_attention and strength == 0:
        return conditioning
    file = runtime.current().models.find(style_model, "style_model", part="style_model")
    with image_encoder.use() as encoder:
        features = encoder.tokens(image.pixels, crop)
    with StyleModel(files=(file,)).use() as style:
        if style.reads != features.shape[-1]:
            raise InvalidInputError(
                f"the style model reads vectors of width {style.reads}, the image encoder makes {features.shape[-1]}",
                where="image_encoder",
                advice="Flux Redux goes with sigclip_vision_patch14_384",
            )
        tokens = style.tokens(features)
    return _seeing(conditioning, tokens if by_attention else tokens * strength, strength if by_attention else 1.0)


def _seeing(conditioning: Conditioning, tokens: Tensor, attention: float) -> Conditioning:
    from graphflow.vision.style import attended, behind_text

    entries = []
    for entry in conditioning.entries:
        first, width = entry.embedding.shape[1:]
        if width != tokens.shape[-1]:
            raise InvalidInputError(
                f"the style model makes tokens of width {tokens.shape[-1]}, the prompt's have {width}",
                where="style_model",
                advice="use a style model of the family that the text encoders belong to",
            )
        told = behind_text(entry.embedding, tokens)
        spans = attended(entry.extras.get("attention_bias", ()), first, told.shape[1], attention)
        extras = {**entry.extras, **({"attention_bias": spans} if spans else {})}
        entries.append(replace(entry, embedding=told, extras=extras))
    return Conditioning(entries=tuple(entries))


def _with_vectors(conditioning: Conditioning, vectors: Tensor, strength: float, noise: float) -> Conditioning:
    from graphflow.sampling.image_prompts import PROMPTS

    entries = (
        replace(entry, extras={**entry.extras, PROMPTS: (*entry.extras.get(PROMPTS, ()), (vectors, strength, noise))})
        for entry in conditioning.entries
    )
    return Conditioning(entries=tuple(entries))
