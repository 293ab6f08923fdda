"""Putting one tensor into another."""

from __future__ import annotations

import torch
from torch import Tensor

from .alpha import with_channels
from .batches import cycled
from .resampling import resize_bilinear


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
