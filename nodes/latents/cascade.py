"""Latents of Stable Cascade's two stages (Pernias et al. 2023, arXiv:2306.00637)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import Conditioning, Image, Latent, Vae

from ..conditioning.extras import with_extras

__all__ = ["add_stage_c", "encode_stage_c"]

_ENCODED, _QUARTER = 32, 4
"""Pixels per latent sample of stage C's encoder, and of stage B."""


class Stages(NamedTuple):
    """Latents to start from."""

    stage_c: Annotated[Latent, Field(description="the pictures as stage C has them")]
    stage_b: Annotated[Latent, Field(description="empty latents of stage B, of the same size")]


@node("add_stage_c")
def add_stage_c(
    conditioning: Annotated[Conditioning, Field(description="what stage B is told")],
    latent: Annotated[Latent, Field(description="what stage C made")],
) -> Conditioning:
    """Tell stage B of Stable Cascade which latents of stage C it draws the picture of."""
    return with_extras(conditioning, {"stage_c": latent.samples})


@node("encode_stage_c", lane="device", map=True)
def encode_stage_c(
    vae: Annotated[Vae, Field(description="the encoder of stage C: its checkpoint's autoencoder, or effnet_encoder")],
    images: Annotated[Image, Field(description="the pictures")],
    compression: Annotated[
        int, Field(ge=4, le=128, description="pixels per latent sample; stage C was trained with about 42")
    ] = 42,
) -> Stages:
    """Encode pictures for stage C of Stable Cascade; they are cut to whole samples and resized for its encoder.

    Raises:
        InvalidInputError: A picture is smaller than one latent sample.
        ModelFormatError: The autoencoder has no encoder.
        NonFiniteError: The encoder makes NaN, in float32 too.
    """
    import torch

    from graphflow.pixels.resampling import crop_to_shape, resize_bicubic

    height, width = images.pixels.shape[-2:]
    if min(height, width) < max(compression, 2 * _QUARTER):
        raise InvalidInputError(f"a picture of {width} x {height} is smaller than a latent sample", where="images")
    size = (height // compression * _ENCODED, width // compression * _ENCODED)
    with vae.use() as loaded:
        samples = loaded.encode(resize_bicubic(crop_to_shape(images.pixels[:, :3], size), size))
    begun = torch.zeros(len(samples), 4, height // 8 * 2, width // 8 * 2)
    return Stages(
        Latent(samples=samples, family=vae.family, downscale=compression),
        Latent(samples=begun, family=vae.family, downscale=_QUARTER),
    )
