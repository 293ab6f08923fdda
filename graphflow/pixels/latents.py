"""Latents (B, C, h, w) mixed, sharpened, cut and joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from .batches import cycled
from .filters import gaussian_blur
from .pasting import paste
from .resampling import crop_to_shape, resize_bicubic, resize_bilinear


def blend_values(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix two latents: first * factor + second * (1 - factor)."""
    size = first.shape[-2:]
    second = resize_bicubic(crop_to_shape(second, size), size)
    return first * factor + cycled(second, first.shape[0]) * (1 - factor)


def blend_directions(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix directions and lengths of the vectors of channels apart."""
    second = matched(first, second)
    length, other = first.norm(dim=1, keepdim=True), second.norm(dim=1, keepdim=True)
    mixed = direction(first, length) * factor + direction(second, other) * (1 - factor)
    unit = direction(mixed, mixed.norm(dim=1, keepdim=True))
    return unit * (length * factor + other * (1 - factor))


LATENT_BLENDS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"linear": blend_values, "direction": blend_directions}
)
"""By the names that nodes call them by."""


def direction(tensor: Tensor, length: Tensor) -> Tensor:
    """Vectors by their lengths; zero where these are."""
    return torch.where(length > 0, tensor / length, 0.0)


def matched(first: Tensor, second: Tensor) -> Tensor:
    """The second latents brought to the size and number of the first."""
    size = first.shape[-2:]
    return cycled(resize_bilinear(crop_to_shape(second, size), size), first.shape[0])


def add_latents(first: Tensor, second: Tensor) -> Tensor:
    """Add latents."""
    return first + matched(first, second)


def subtract_latents(first: Tensor, second: Tensor) -> Tensor:
    """Subtract the second latents from the first."""
    return first - matched(first, second)


LATENT_SUMS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"add": add_latents, "subtract": subtract_latents}
)
"""By the names that nodes call them by."""


def multiply_latent(latent: Tensor, factor: float = 1.0) -> Tensor:
    """Multiply latents by a number."""
    return latent * factor


def sharpen_latent(
    latent: Tensor, radius: int = 9, sigma: float = 1.0, strength: float = 1.0
) -> Tensor:
    """Sharpen the directions of the vectors of channels by an unsharp mask."""
    length = latent.norm(dim=1, keepdim=True) + 1e-6
    unit = latent / length
    sharp = unit + strength * (unit - gaussian_blur(unit, radius, sigma))
    return sharp * length


def tonemap_latent(latent: Tensor, multiplier: float = 1.0) -> Tensor:
    """Compress large vectors of channels (Reinhard et al., SIGGRAPH 2002)."""
    if not latent.shape[0]:
        return latent
    length = latent.norm(dim=1, keepdim=True) + 1e-10
    unit = latent / length
    axes = tuple(range(1, latent.ndim))
    # A single sample has no deviation.
    several = length.shape[-1] * length.shape[-2] > 1
    spread = length.std(dim=axes, keepdim=True) if several else 0.0
    top = (length.mean(dim=axes, keepdim=True) + 5 * spread) * multiplier
    ratio = length / top
    return unit * (ratio / (ratio + 1) * top)


def composite_latents(
    destination: Tensor,
    source: Tensor,
    mask: Tensor | None = None,
    x: int = 0,
    y: int = 0,
    feather: int = 0,
    resize_source: bool = False,
    downscale: int = 8,
) -> Tensor:
    """Paste latents into others; places are pixels, `downscale` to a sample."""
    places = {"x": x // downscale, "y": y // downscale, "feather": feather // downscale}
    return paste(destination, source, mask, resize_source=resize_source, **places)


def crop_latent(
    latent: Tensor,
    x: int = 0,
    y: int = 0,
    width: int = 512,
    height: int = 512,
    downscale: int = 8,
) -> Tensor:
    """Cut a rectangle of pixels out of latents; what lies outside is left out."""
    left, top = x // downscale, y // downscale
    right = left + max(1, width // downscale)
    bottom = top + max(1, height // downscale)
    return latent[..., top:bottom, left:right]


def cut_latent(
    latent: Tensor, axis: str = "x", start: int = 0, length: int = 1
) -> Tensor:
    """Take columns (x), rows (y) or a video's frames (t), counted in latent samples."""
    dim = {"x": -1, "y": -2, "t": -3}[axis]
    size = latent.shape[dim]
    first = max(size + start, 0) if start < 0 else min(start, size - 1)
    return latent.narrow(dim, first, min(length, size - first))


def concat_latents(first: Tensor, second: Tensor, direction: str = "right") -> Tensor:
    """Put latents beside or below other ones, or join videos of one size in time."""
    second = cycled(second, first.shape[0])
    if direction in ("after", "before"):
        axis = -3
    else:
        axis = -1 if direction in ("right", "left") else -2
        height, width = first.shape[-2:]
        across = (height, second.shape[-1])
        size = across if axis == -1 else (second.shape[-2], width)
        second = resize_bilinear(crop_to_shape(second, size), size)
    follows = direction in ("right", "down", "after")
    return torch.cat([first, second] if follows else [second, first], dim=axis)
