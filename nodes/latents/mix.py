"""Nodes that compute with latents: paste, blend, add, sharpen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.pixels.batching import cycle_to
from graphflow.pixels.filters import gaussian_blur
from graphflow.pixels.pasting import paste
from graphflow.pixels.resampling import resample
from graphflow.spec.decorator import node
from graphflow.values import Latent, Mask

from ..sampling.choices import Offset
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
Latents = Annotated[Latent, Field(description="the latents")]


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
    from graphflow.sampling.denoise import require_pictures

    require_pictures(destination)
    require_same_channels(destination, source)
    f = destination.downscale
    pasted = paste(
        destination.samples,
        source.samples,
        None if mask is None else mask.values,
        x=x // f,
        y=y // f,
        feather=feather // f,
        resize_source=resize_source,
    )
    return replace(destination, samples=pasted)


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
    a = first.samples
    b = _matched(first, second, "bicubic" if method == "linear" else "bilinear")
    if method == "linear":
        return replace(first, samples=a * factor + b * (1 - factor))
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    mixed = _unit(a, length_a) * factor + _unit(b, length_b) * (1 - factor)
    unit = _unit(mixed, mixed.norm(dim=1, keepdim=True))
    return replace(first, samples=unit * (length_a * factor + length_b * (1 - factor)))


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
    other = _matched(first, second, "bilinear")
    return replace(first, samples=first.samples + other if operation == "add" else first.samples - other)


@node("multiply_latent", map=True)
def multiply_latent(
    latent: Latents, factor: Annotated[float, Field(ge=-100, le=100, description="the factor")] = 1.0
) -> Latent:
    """Multiply latents by a number."""
    return replace(latent, samples=latent.samples * factor)


@node("sharpen_latent", map=True)
def sharpen_latent(
    latent: Latents,
    radius: Annotated[int, Field(ge=1, le=31, description="latent samples around each that count")] = 9,
    sigma: Annotated[
        float, Field(ge=0.1, le=10, description="spread of the Gaussian weights, in units of the radius")
    ] = 1.0,
    strength: Annotated[float, Field(ge=0, le=50, description="factor on what blurring takes away")] = 1.0,
) -> Latent:
    """Sharpen latents by an unsharp mask on the directions of their vectors of channels; the lengths stay.

    Raises:
        InvalidInputError: The latents are not larger than the radius.
    """
    length = latent.samples.norm(dim=1, keepdim=True) + 1e-6
    unit = latent.samples / length
    sharp = unit + strength * (unit - gaussian_blur(unit, radius, sigma))
    return replace(latent, samples=sharp * length)


@node("tonemap_latent", map=True)
def tonemap_latent(
    latent: Latents,
    multiplier: Annotated[
        float, Field(gt=0, le=100, description="height of the plateau; small values flatten, large ones change nothing")
    ] = 1.0,
) -> Latent:
    """Compress large vectors of channels as Reinhard's tone mapping does luminance (SIGGRAPH 2002).

    The length l becomes t * (l / t) / (l / t + 1), where t is (mean + 5 standard deviations of l) * multiplier.
    """
    if not latent.samples.shape[0]:
        return latent
    length = latent.samples.norm(dim=1, keepdim=True) + 1e-10
    unit = latent.samples / length
    axes = (1, 2, 3)
    # A single sample has no deviation.
    spread = length.std(dim=axes, keepdim=True) if length.shape[-1] * length.shape[-2] > 1 else 0.0
    top = (length.mean(dim=axes, keepdim=True) + 5 * spread) * multiplier
    ratio = length / top
    return replace(latent, samples=unit * (ratio / (ratio + 1) * top))


def _matched(first: Latent, second: Latent, method: str) -> torch.Tensor:
    """Bring the second latents to the size and number of the first."""
    require_same_channels(first, second)
    if not first.samples.shape[0]:
        raise InvalidInputError("the batch is empty", where="first")
    height, width = first.samples.shape[-2:]
    return cycle_to(resample(second.samples, (height, width), method, "center"), first.samples.shape[0])


def _unit(tensor: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.where(length > 0, tensor / length, 0.0)
