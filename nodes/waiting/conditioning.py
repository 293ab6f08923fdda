"""Prompts of several texts or of pictures that Flux and its kin read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.modelfiles.families import family_named
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Conditioning, ControlNet, Image, ImageEncoder, Model, StyleModel, TextEncoder

from ..conditioning.extras import with_extras

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "add_image_prompt",
    "apply_style_patch",
    "encode_prompt_parts",
    "lotus_conditioning",
]

Told = Annotated[Conditioning, Field(description="the conditioning")]
Encoder = Annotated[TextEncoder, Field(description="the text encoders")]
Seeing = Annotated[ImageEncoder, Field(description="the CLIP image encoder")]
Picture = Annotated[Image, Field(description="the picture")]
Text = Annotated[str, Field(max_length=LIMITS.text)]


@node("encode_prompt_parts", waits="{family}", unless={"family": ("flux", "sd3")}, lane="device")
def encode_prompt_parts(
    text_encoder: Encoder,
    text_l: Annotated[Text, Field(description="for CLIP L")] = "",
    text_g: Annotated[Text, Field(description="for CLIP G")] = "",
    text_t5: Annotated[Text, Field(description="for T5")] = "",
    text_llama: Annotated[Text, Field(description="for the language model")] = "",
    guidance: Annotated[float, Field(ge=0, le=100, description="see set_guidance; of Flux alone")] = 3.5,
    family: Annotated[Literal["flux", "sd3", "hidream"], Field(description="the family")] = "flux",
) -> Conditioning:
    """Encode a text of its own for each text encoder of a family.

    Raises:
        InvalidInputError: The family's text encoders read no texts of their own.
        NonFiniteError: An encoder overflows in its dtype.
    """
    by_class = {
        "CLIPTextModel": text_l,
        "CLIPTextModelWithProjection": text_l if family == "flux" else text_g,
        "T5EncoderModel": text_t5,
        "LlamaModel": text_llama,
    }
    owner = family_named(text_encoder.family or family)
    texts = {role.part: by_class.get(role.classes[0]) for role in owner.encoders()}
    if None in texts.values():
        raise InvalidInputError(
            f"the text encoders of {owner.name} read one text together", advice="encode it with encode_prompt"
        )
    with text_encoder.use() as loaded:
        told: Conditioning = loaded.encode("", texts)
    return with_extras(told, {"guidance": guidance}) if family == "flux" else told


@node("add_image_prompt", waits="a family with image prompts", unless={"style_model": ...}, lane="device")
def add_image_prompt(
    conditioning: Told,
    image_encoder: Seeing,
    image: Picture,
    style_model: Annotated[
        str, ModelName("style_model"), Field(description="a Flux Redux model; empty for unCLIP checkpoints and SDXL")
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
    """Prompt by a picture (unCLIP, SDXL revision, Flux Redux); pictures of a batch are seen side by side.

    A style model's tokens (T, C) stand behind those of the text. ``apply_ip_adapter`` prompts by pictures, too.

    Raises:
        InvalidInputError: The style model reads another image encoder or is of another family, or the attention's
            strength is negative.
    """
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
        tokens = style.tokens(features).flatten(0, 1)[None]
    return _seeing(conditioning, tokens if by_attention else tokens * strength, strength if by_attention else 1.0)


def _seeing(conditioning: Conditioning, tokens: Tensor, attention: float) -> Conditioning:
    import numpy as np
    import torch

    # As ComfyUI has it, whose sum is in half precision.
    bias = float(np.float16(math.log(attention)))
    entries = []
    for entry in conditioning.entries:
        batch, first, width = entry.embedding.shape
        if width != tokens.shape[-1]:
            raise InvalidInputError(
                f"the style model makes tokens of width {tokens.shape[-1]}, the prompt's have {width}",
                where="style_model",
                advice="use a style model of the family that the text encoders belong to",
            )
        spans = entry.extras.get("attention_bias", ())
        if bias or spans:
            spans = (*spans, (first, first + tokens.shape[1], bias))
        told = torch.cat([entry.embedding, tokens.expand(batch, -1, -1)], dim=1)
        entries.append(
            replace(entry, embedding=told, extras={**entry.extras, **({"attention_bias": spans} if spans else {})})
        )
    return Conditioning(entries=tuple(entries))


@node("apply_style_patch", waits="USO's style projector for flux")
def apply_style_patch(
    model: Annotated[Model, Field(description="the denoising model")],
    control_net: Annotated[ControlNet, Field(description="the patch")],
    image_encoder: Seeing,
    image: Picture,
    crop: Annotated[Literal["center", "none"], Field(description="how the picture is made square")] = "center",
) -> Model:
    """Take the style of a picture through a patch (USO)."""


@node("lotus_conditioning", waits="lotus")
def lotus_conditioning() -> Conditioning:
    """Give the fixed prompt embedding of the Lotus depth and normal models."""
