"""Nodes that compute with latents: paste, blend, add, sharpen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow.spec.decorator import node
from graphflow.values import Latent, Mask

from ..choices import LatentRadius, Latents, Offset, Plateau, Sharpness, Spread
from ..images.checks import require_items, require_radius
from .shape import require_same_channels

if TYPE_CHECKING:
    import torch

__all__ = [
    "blend_latents",
    "combine_latents",
    "composite_latents",
    "multiply_latent",
    "sharpen_latent",
    "tonemap_latent",
]

First = Annotated[Latent, Field(description="the first latents; the result has their size")]
Second = Annotated[Latent, Field(description="the second latents, brought to the size of the first")]


@node("composite_latents")
def composite_latents(
    destination: Annotated[Latent, Field(description="the latents to paste into")],
    source: Annotated[Latent, Field(description="the latents to paste; too few are repeated")],
    mask: Annotated[Mask | None, Field(description="1 = paste, 0 = keep; stretched over the source")] = None,
    x: Annotated[Offset, Field(description="left edge in pixels of the picture, rounded down to samples")] = 0,
    y: Annotated[Offset, Field(description="top edge in pixels of the picture")] = 0,
    feather: Annotated[
        Offset, Field(description="pixels over which the source fades in at edges inside the destination")
    ] = 0,
    resize_source: Annotated[bool, Field(description="stretch the source over the whole destination first")] = False,
) -> Latent:
    """Paste latents into others, (B, C, h, w); what lies outside is left out.

    Raises:
        InvalidInputError: The channels differ, or the latents are a video's.
    """
    from graphflow.pixels import latents
    from graphflow.sampling.denoise import as_pictures

    require_same_channels(destination, source)
    pictures, others = as_pictures(destination).samples, as_pictures(source).samples
    require_items(source.samples, destination.samples.shape[0])
    if mask is not None:
        require_items(mask.values, destination.samples.shape[0])
    values, places = None if mask is None else mask.values, (x, y, feather)
    mixed = latents.composite_latents(pictures, others, values, *places, resize_source, destination.downscale)
    return replace(destination, samples=mixed.reshape(destination.samples.shape))


@node("blend_latents")
def blend_latents(
    first: First,
    second: Second,
    factor: Annotated[float, Field(ge=0, le=1, description="share of the first")] = 0.5,
    method: Annotated[
        Literal["linear", "direction"],
        Field(description="linear mixes values; direction mixes directions and lengths of the vectors of channels"),
    ] = "linear",
) -> Latent:
    """Mix two latents: first * factor + second * (1 - factor).

    ``direction`` mixes the unit vectors of channels, normalises the result and gives it the mixed length, which keeps
    the contrast that plain mixing loses.

    Raises:
        InvalidInputError: The channels differ.
    """
    from graphflow.pixels.latents import LATENT_BLENDS

    mixed = LATENT_BLENDS[method](*_matching(first, second), factor)
    return replace(first, samples=mixed.reshape(first.samples.shape))


@node("combine_latents")
def combine_latents(
    first: First,
    second: Second,
    operation: Annotated[Literal["add", "subtract"], Field(description="what to do")] = "add",
) -> Latent:
    """Add latents, or subtract the second from the first.

    Raises:
        InvalidInputError: The channels differ.
    """
    from graphflow.pixels.latents import LATENT_SUMS

    mixed = LATENT_SUMS[operation](*_matching(first, second))
    return replace(first, samples=mixed.reshape(first.samples.shape))


@node("multiply_latent", map=True)
def multiply_latent(
    latent: Latents, factor: Annotated[float, Field(ge=-100, le=100, description="the factor")] = 1.0
) -> Latent:
    """Multiply latents by a number."""
    from graphflow.pixels import latents

    return replace(latent, samples=latents.multiply_latent(latent.samples, factor))


@node("sharpen_latent", map=True)
def sharpen_latent(
    latent: Latents,
    radius: LatentRadius = 9,
    sigma: Spread = 1.0,
    strength: Sharpness = 1.0,
) -> Latent:
    """Sharpen latents by an unsharp mask on the directions of their vectors of channels; the lengths stay.

    Raises:
        InvalidInputError: The latents are not larger than the radius.
    """
    from graphflow.pixels import latents
    from graphflow.sampling.denoise import as_pictures

    require_radius(radius, latent.samples)
    sharp = latents.sharpen_latent(as_pictures(latent).samples, radius, sigma, strength)
    return replace(latent, samples=sharp.reshape(latent.samples.shape))


@node("tonemap_latent", map=True)
def tonemap_latent(
    latent: Latents,
    multiplier: Plateau = 1.0,
) -> Latent:
    """Compress large vectors of channels as Reinhard's tone mapping does luminance (SIGGRAPH 2002).

    The length l becomes t * (l / t) / (l / t + 1), where t is (mean + 5 standard deviations of l) * multiplier.
    """
    from graphflow.pixels import latents

    return replace(latent, samples=latents.tonemap_latent(latent.samples, multiplier))


def _matching(first: Latent, second: Latent) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tensors (B, C, h, w) of latents of which the second can be brought to the size and number of the first."""
    from graphflow.sampling.denoise import as_pictures

    require_same_channels(first, second)
    require_items(first.samples)
    require_items(second.samples)
    return as_pictures(first).samples, as_pictures(second).samples
