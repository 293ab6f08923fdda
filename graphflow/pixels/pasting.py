"""Putting one tensor into another, and blending pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from .alpha import with_channels
from .batches import cycled
from .resampling import crop_to_shape, resize_bicubic, resize_bilinear


def paste(
    destination: Tensor,
    source: Tensor,
    mask: Tensor | None = None,
    *,
    x: int = 0,
    y: int = 0,
    feather: int = 0,
    resize_source: bool = False,
) -> Tensor:
    """Put a source into (B, C, H, W) at (x, y); what reaches outside is left out.

    Args:
        destination: (B, C, H, W).
        source: (b, C, h, w); too few items are repeated.
        mask: (b, h', w') in [0, 1], 1 = source; stretched over the source. None is 1
            everywhere.
        x: Left edge of the source.
        y: Its top edge.
        feather: Over how many samples the source fades in at those of its edges that lie
            inside the destination.
        resize_source: Stretch the source over the destination first.
    """
    count, _, height, width = destination.shape
    result = destination.clone()
    if x >= width or y >= height or not count:
        return result
    if resize_source:
        source = resize_bilinear(source, (height, width))
    source = cycled(source, count).to(destination.device)
    rows, columns = min(source.shape[-2], height - y), min(source.shape[-1], width - x)
    weight = torch.ones(1, 1, rows, columns, device=destination.device)
    if mask is not None:
        weight = cycled(resize_bilinear(mask[:, None], source.shape[-2:]), count)
        weight = weight[..., :rows, :columns].to(destination.device)
    if feather:
        down = fade_in(rows, feather, before=y > 0, after=y + rows < height)
        across = fade_in(columns, feather, before=x > 0, after=x + columns < width)
        weight = weight * (down[:, None] * across).to(destination.device)
    part = source[..., :rows, :columns]
    under = result[..., y : y + rows, x : x + columns]
    result[..., y : y + rows, x : x + columns] = part * weight + under * (1 - weight)
    return result


def fade_in(length: int, feather: int, *, before: bool, after: bool) -> Tensor:
    """Weights that rise from 1 / feather to 1 at the edges that fade in."""
    rise = ((torch.arange(length) + 1) / feather).clamp(max=1.0)
    ones = torch.ones(length)
    return (rise if before else ones) * (rise.flip(0) if after else ones)


def composite_images(
    destination: Tensor,
    source: Tensor,
    mask: Tensor | None = None,
    x: int = 0,
    y: int = 0,
    feather: int = 0,
    resize_source: bool = False,
) -> Tensor:
    """Paste pictures into others; a source without alpha is opaque."""
    source = with_channels(source, destination.shape[1])
    places = {"x": x, "y": y, "feather": feather}
    pasted = paste(destination, source, mask, resize_source=resize_source, **places)
    return pasted.clamp(0, 1)


Blend = Callable[[Tensor, Tensor, float], Tensor]
"""(pictures below, pictures above, opacity of these) -> blended pictures."""


def mix(
    first: Tensor,
    second: Tensor,
    factor: float,
    blended: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """First * (1 - factor) + blended(first, second) * factor; alpha is the first's.

    The second is brought to the size and number of the first.
    """
    a, size = first[:, :3], first.shape[-2:]
    b = resize_bicubic(crop_to_shape(second[:, :3], size), size).clamp(0, 1)
    made = blended(a, cycled(b, a.shape[0]))
    mixed = (a * (1 - factor) + made * factor).clamp(0, 1)
    return torch.cat([mixed, first[:, 3:]], dim=1)


def blend_normal(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures."""
    return mix(first, second, factor, lambda a, b: b)


def blend_multiply(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with their product."""
    return mix(first, second, factor, lambda a, b: a * b)


def blend_screen(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the negative of the product of their negatives."""
    return mix(first, second, factor, lambda a, b: 1 - (1 - a) * (1 - b))


def blend_overlay(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with their product where they are dark, their screen where light."""

    def blended(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b))

    return mix(first, second, factor, blended)


def blend_soft_light(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with the first as if a diffuse light were on it."""

    def blended(a: Tensor, b: Tensor) -> Tensor:
        bright = torch.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, a.sqrt())
        dark = a - (1 - 2 * b) * a * (1 - a)
        return torch.where(b <= 0.5, dark, a + (2 * b - 1) * (bright - a))

    return mix(first, second, factor, blended)


def blend_difference(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with how far they are apart."""
    return mix(first, second, factor, lambda a, b: (a - b).abs())


def blend_subtract(first: Tensor, second: Tensor, factor: float = 0.5) -> Tensor:
    """Mix pictures with first - second."""
    return mix(first, second, factor, lambda a, b: a - b)


BLENDS: Mapping[str, Blend] = MappingProxyType(
    {
        "normal": blend_normal,
        "multiply": blend_multiply,
        "screen": blend_screen,
        "overlay": blend_overlay,
        "soft_light": blend_soft_light,
        "difference": blend_difference,
        "subtract": blend_subtract,
    }
)
"""The modes of the W3C's Compositing and Blending Level 1, and subtract, by name."""
