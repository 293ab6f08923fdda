"""Nodes that make and change latents."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS
from graphflow.node import node
from graphflow.values import Latent, Mask

from .choices import Crop, LatentEdge, LatentResampling
from .resampling import resample, target_size


@node("empty_latent")
def empty_latent(
    width: LatentEdge = 512,
    height: LatentEdge = 512,
    batch_size: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many pictures")] = 1,
    channels: Annotated[
        int, Field(ge=1, le=1024, description="latent channels: 4 for sd and sdxl, 16 for sd3 and flux")
    ] = 4,
) -> Latent:
    """Make latents of zeros, which sampling fills: (batch_size, channels, height / 8, width / 8).

    Raises:
        LimitError: The picture has more pixels than the limits allow.
    """
    import torch

    if width * height > LIMITS.pixels:
        raise LimitError(f"{width} x {height} has more than {LIMITS.pixels:,} pixels")
    return Latent(samples=torch.zeros(batch_size, channels, height // 8, width // 8))


@node("set_noise_mask", map=True)
def set_noise_mask(
    latent: Annotated[Latent, Field(description="the latents")],
    mask: Annotated[Mask, Field(description="1 = make anew, 0 = keep; any size, one or one for each item")],
) -> Latent:
    """Have sampling change only a part of the latents (inpainting).

    Raises:
        InvalidInputError: There are several masks, and not as many as latents.
    """
    masks, items = mask.values.shape[0], latent.samples.shape[0]
    if masks not in (1, items):
        raise InvalidInputError(
            f"{masks} masks do not fit {items} latents", where="mask", advice="give one, or one for each"
        )
    return replace(latent, noise_mask=mask.values)


@node("upscale_latent", map=True)
def upscale_latent(
    latent: Annotated[Latent, Field(description="the latents")],
    width: Annotated[
        int, Field(ge=0, le=LIMITS.edge, multiple_of=8, description="pixels of the picture; 0 follows height or scale")
    ] = 0,
    height: Annotated[
        int, Field(ge=0, le=LIMITS.edge, multiple_of=8, description="pixels of the picture; 0 follows width or scale")
    ] = 0,
    scale: Annotated[float, Field(gt=0, le=64, description="factor on both edges, where width and height are 0")] = 2.0,
    method: LatentResampling = "nearest",
    crop: Crop = "none",
) -> Latent:
    """Resample latents to another size, (B, C, h, w) to (B, C, h', w'), e.g. for a second pass at more pixels.

    Sampling must follow, with a strength of about 0.5: resampled latents alone decode to a blurred picture.

    Raises:
        LimitError: The result is larger than the limits allow.
    """
    factor = latent.downscale
    h, w = latent.samples.shape[-2:]
    target_w, target_h = target_size(
        w * factor, h * factor, wanted_width=width, wanted_height=height, scale=scale, max_edge=0
    )
    size = (max(1, round(target_h / factor)), max(1, round(target_w / factor)))
    return replace(latent, samples=resample(latent.samples, size, method, crop))
