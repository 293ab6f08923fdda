"""Conditioning that Flux, Qwen-Image and their kin read.

What is only carried along (a guidance value, reference latents) is carried for real, and families that do not know it
leave it alone, as they do elsewhere. What has to compute with such a family's networks says that it is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from graphflow.limits import LIMITS
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Conditioning, ControlNet, Image, ImageEncoder, Latent, Model, TextEncoder, Vae

from ..waiting.loaders import refuse

__all__ = [
    "add_image_prompt",
    "add_reference_latent",
    "apply_style_patch",
    "encode_prompt_parts",
    "encode_prompt_with_images",
    "lotus_conditioning",
    "set_guidance",
    "set_reference_method",
]

Told = Annotated[Conditioning, Field(description="the conditioning")]
Encoder = Annotated[TextEncoder, Field(description="the text encoders")]
Seeing = Annotated[ImageEncoder, Field(description="the CLIP image encoder")]
Picture = Annotated[Image, Field(description="the picture")]
Text = Annotated[str, Field(max_length=LIMITS.text)]


@node("set_guidance", map=True)
def set_guidance(
    conditioning: Told,
    guidance: Annotated[
        float | None, Field(ge=0, le=100, description="the value that the model was distilled with; none leaves it out")
    ] = 3.5,
) -> Conditioning:
    """Set the guidance that a guidance-distilled model (Flux dev) reads as an input of its own.

    It stands in the extras of each entry as ``guidance``; models that have no such input leave it alone.
    """
    return with_extras(conditioning, {"guidance": guidance})


@node("add_reference_latent", map=True)
def add_reference_latent(
    conditioning: Told, latent: Annotated[Latent | None, Field(description="the encoded picture")] = None
) -> Conditioning:
    """Let an editing model (Flux Kontext, Flux.2, Qwen-Image-Edit) see an encoded picture beside the prompt.

    The latents stand in the extras of each entry as ``reference_latents``, in the order in which they were added;
    without a latent nothing changes.
    """
    if latent is None:
        return conditioning
    entries = []
    for entry in conditioning.entries:
        before = tuple(entry.extras.get("reference_latents", ()))
        entries.append(replace(entry, extras={**entry.extras, "reference_latents": (*before, latent)}))
    return Conditioning(entries=tuple(entries))


@node("set_reference_method", map=True)
def set_reference_method(
    conditioning: Told,
    method: Annotated[
        Literal["offset", "index", "index_timestep_zero", "uno", "negative_index"],
        Field(description="how positions of several reference pictures are set apart"),
    ] = "offset",
) -> Conditioning:
    """Choose how a model tells several reference latents apart (``reference_method`` in the extras)."""
    return with_extras(conditioning, {"reference_method": method})


@node("encode_prompt_parts")
def encode_prompt_parts(
    text_encoder: Encoder,
    text_l: Annotated[Text, Field(description="for CLIP L")] = "",
    text_g: Annotated[Text, Field(description="for CLIP G")] = "",
    text_t5: Annotated[Text, Field(description="for T5")] = "",
    text_llama: Annotated[Text, Field(description="for the language model")] = "",
    guidance: Annotated[float, Field(ge=0, le=100, description="see set_guidance; of Flux alone")] = 3.5,
    family: Annotated[Literal["flux", "sd3", "hidream"], Field(description="the family")] = "flux",
) -> Conditioning:
    """Encode a text of its own for each text encoder of a family; running it is an error until the family is there.

    Raises:
        InvalidInputError: Always: none of these families runs by components.
    """
    refuse(f"the text encoders of {family}")


@node("encode_prompt_with_images")
def encode_prompt_with_images(
    text_encoder: Encoder,
    text: Annotated[Text, Field(description="the instruction")] = "",
    images: Annotated[list[Image] | None, Field(description="the pictures that it speaks of, in order")] = None,
    vae: Annotated[Vae | None, Field(description="encodes the pictures as references, too")] = None,
    template: Annotated[
        Literal["qwen_edit", "qwen_edit_plus"], Field(description="one picture, or several that are numbered")
    ] = "qwen_edit",
) -> Conditioning:
    """Encode an instruction together with pictures (Qwen-Image-Edit); running it is an error until the family is there.

    Raises:
        InvalidInputError: Always: no family that reads pictures with its prompts runs by components.
    """
    refuse("a prompt with pictures (Qwen-Image-Edit)")


@node("add_image_prompt")
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
) -> Conditioning:
    """Prompt by a picture (unCLIP, SDXL revision, Flux Redux); running it is an error until a family reads such prompts.

    ``apply_ip_adapter`` prompts Stable Diffusion models by pictures.

    Raises:
        InvalidInputError: Always: no family that runs by components reads these embeddings.
    """
    refuse("a picture as prompt by unCLIP or a style model")


@node("apply_style_patch")
def apply_style_patch(
    model: Annotated[Model, Field(description="the denoising model")],
    control_net: Annotated[ControlNet, Field(description="the patch")],
    image_encoder: Seeing,
    image: Picture,
    crop: Annotated[Literal["center", "none"], Field(description="how the picture is made square")] = "center",
) -> Model:
    """Take the style of a picture through a patch (USO); running it is an error until such a family is there.

    Raises:
        InvalidInputError: Always: no family that takes such patches runs by components.
    """
    refuse("a style patch of a transformer")


@node("lotus_conditioning")
def lotus_conditioning() -> Conditioning:
    """Give the fixed prompt embedding of the Lotus depth and normal models; running it is an error: it is not packaged.

    Raises:
        InvalidInputError: Always: the embedding is no part of graphflow.
    """
    refuse("Lotus, whose fixed prompt embedding is not packaged,")


def with_extras(conditioning: Told, extras: Mapping[str, Any]) -> Conditioning:
    """Return the conditioning with more extras; those that are None are taken out."""
    entries = []
    for entry in conditioning.entries:
        merged = {key: value for key, value in {**entry.extras, **extras}.items() if value is not None}
        entries.append(replace(entry, extras=merged))
    return Conditioning(entries=tuple(entries))
