"""Nodes between pixels and latents."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.node import node
from graphflow.values import Image, Latent, Vae

from .choices import Tile
from .finite import require_finite


@node("vae_decode", lane="device", map=True)
def vae_decode(
    vae: Annotated[Vae, Field(description="the autoencoder")],
    latent: Annotated[Latent, Field(description="the latents")],
    tile: Tile = 0,
) -> Image:
    """Decode latents (B, C, h, w) to pixels (B, 3, 8 h, 8 w) in [0, 1].

    Raises:
        GraphflowError: The autoencoder makes NaN, or is of another family than the latents.
    """
    with vae.use() as loaded:
        pixels = loaded.decode(latent.samples, tile=tile)
    require_finite(pixels, "the decoded picture", "run with --dtype float32 or bfloat16; some autoencoders overflow in float16")
    return Image(pixels=pixels.clamp(0, 1))


@node("encode_image", lane="device", map=True)
def encode_image(
    vae: Annotated[Vae, Field(description="the autoencoder")],
    images: Annotated[Image, Field(description="the pictures; edges that are no multiple of 8 are cut, alpha is ignored")],
    tile: Tile = 0,
) -> Latent:
    """Encode pixels (B, 3 or 4, H, W) in [0, 1] to latents (B, C, H / 8, W / 8), at the mode of their distribution.

    Raises:
        InvalidInputError: A picture is smaller than one latent sample.
        GraphflowError: The autoencoder makes NaN.
    """
    with vae.use() as loaded:
        factor: int = loaded.downscale
        height, width = images.pixels.shape[-2:]
        kept_height, kept_width = height // factor * factor, width // factor * factor
        if not kept_height or not kept_width:
            raise InvalidInputError(f"a picture of {width} x {height} is smaller than {factor} pixels", where="images")
        top, left = (height - kept_height) // 2, (width - kept_width) // 2
        pixels = images.pixels[:, :3, top : top + kept_height, left : left + kept_width]
        samples = loaded.encode(pixels, tile=tile)
    require_finite(samples, "the encoded latent", "run with --dtype float32 or bfloat16; some autoencoders overflow in float16")
    return Latent(samples=samples, family=vae.family, downscale=factor)
