"""Putting one tensor into another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .batching import cycle_to
from .resampling import resample

if TYPE_CHECKING:
    import torch


def paste(
    destination: torch.Tensor,
    source: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    x: int,
    y: int,
    feather: int = 0,
    resize_source: bool = False,
) -> torch.Tensor:
    """Return (B, C, H, W) with a source at (x, y); what reaches beyond the edges is left out.

    Args:
        destination: (B, C, H, W).
        source: (b, C, h, w); too few items are repeated.
        mask: (b, h', w') in [0, 1], 1 = source; stretched over the source. None is 1 everywhere.
        x: Left edge of the source.
        y: Its top edge.
        feather: Over how many samples the source fades in at those of its edges that lie inside the destination.
        resize_source: Stretch the source over the destination first.
    """
    import torch

    count, _, height, width = destination.shape
    result = destination.clone()
    if x >= width or y >= height or not count:
        return result
    if resize_source:
        source = resample(source, (height, width), "bilinear")
    source = cycle_to(source, count)
    rows, columns = min(source.shape[-2], height - y), min(source.shape[-1], width - x)
    if mask is None:
        weight = torch.ones(1, 1, rows, columns, device=destination.device)
    else:
        weight = cycle_to(resample(mask[:, None], (source.shape[-2], source.shape[-1]), "bilinear"), count)
        weight = weight[..., :rows, :columns].to(destination.device)
    if feather:
        ramp_y = _ramp(rows, feather, before=y > 0, after=y + rows < height)
        ramp_x = _ramp(columns, feather, before=x > 0, after=x + columns < width)
        weight = weight * (ramp_y[:, None] * ramp_x[None, :]).to(destination.device)
    part = source[..., :rows, :columns].to(destination.device)
    under = result[..., y : y + rows, x : x + columns]
    result[..., y : y + rows, x : x + columns] = part * weight + under * (1 - weight)
    return result


def _ramp(length: int, feather: int, *, before: bool, after: bool) -> torch.Tensor:
    """Weights that rise from 1 / feather to 1 at the edges that fade in."""
    import torch

    rise = ((torch.arange(length) + 1) / feather).clamp(max=1.0)
    ones = torch.ones(length)
    return (rise if before else ones) * (rise.flip(0) if after else ones)
