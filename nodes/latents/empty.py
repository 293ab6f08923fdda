"""Nodes that make latents, give them another size and mark what sampling changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Latent, Mask

from ..choices import Crop, LatentEdge, LatentResampling
from ..images.checks import require_batch, require_planes, require_size, tell_rounding

__all__ = ["empty_latent", "latent_size", "set_noise_mask", "upscale_latent"]


class LatentSize(NamedTuple):
    """How large latents are."""

    width: Annotated[int, Field(description="pixels of the picture that they decode to")]
    height: Annotated[int, Field(description="pixels of the picture that they decode to")]
    batch_size: Annotated[int, Field(description="how many there are")]


@node("empty_latent")
def empty_latent(
    width: LatentEdge = 512,
    height: LatentEdge = 512,
    batch_size: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many pictures")] = 1,
    channels: Annotated[
        int, Field(ge=1, le=1024, description="latent channels: 4 for sd and sdxl, 16 for sd3 and flux")
    ] = 4,
    downscale: Annotated[
        int, Field(ge=1, le=256, description="pixels per latent sample along an edge; 1 for models of pixels")
    ] = 8,
) -> Latent:
    """Make latents of zeros, which sampling fills: (batch_size, channels, height // downscale, width // downscale).

    Raises:
        LimitError: The picture has more pixels than the limits allow.
        InvalidInputError: The picture is smaller than one latent sample.
    """
    import torch

    require_size(width, height)
    if min(width, height) < downscale:
        raise InvalidInputError(f"{width} x {height} is smaller than one latent sample of {downscale} pixels")
    tell_rounding(width, height, downscale)
    require_batch(batch_size, channels, height // downscale, width // downscale)
    samples = torch.zeros(batch_size, channels, height // downscale, width // downscale)
    return Latent(samples=samples, downscale=downscale)


@node("set_noise_mask", map=True)
def set_noise_mask(
    latent: Annotated[Latent, Field(description="the latents")],
    mask: Annotated[
        Mask, Field(description="1 = make anew, 0 = keep; any size; too few begin again after the last one")
    ],
) -> Latent:
    """Have sampling change only a part of the latents (inpainting).

    Raises:
        InvalidInputError: There is no mask.
    """
    if not mask.values.shape[0]:
        raise InvalidInputError("there is no mask", where="mask")
    return replace(latent, noise_mask=mask.values)


@node("upscale_latent", version=2, map=True)
def upscale_latent(
    latent: Annotated[Latent, Field(description="the latents")],
    width: Annotated[
        int, Field(ge=0, le=LIMITS.edge, description="pixels, rounded down to whole samples; 0 follows height or scale")
    ] = 0,
    height: Annotated[
        int, Field(ge=0, le=LIMITS.edge, description="pixels, rounded down to whole samples; 0 follows width or scale")
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
    from graphflow.pixels.resampling import resample
    from graphflow.pixels.sizes import latent_size

    require_planes(latent.samples)
    size = latent_size(latent.samples.shape[-2:], width, height, scale, latent.downscale)
    require_size(size[1] * latent.downscale, size[0] * latent.downscale)
    require_batch(latent.samples.shape[0], *latent.samples.shape[1:-2], *size)
    tell_rounding(width, height, latent.downscale)
    return replace(latent, samples=resample(latent.samples, size, method, crop))


@node("latent_size")
def latent_size(latent: Annotated[Latent, Field(description="the latents")]) -> LatentSize:
    """Tell how large latents are, as numbers that other nodes take."""
    height, width = latent.samples.shape[-2:]
    return LatentSize(width * latent.downscale, height * latent.downscale, latent.samples.shape[0])
