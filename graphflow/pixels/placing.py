"""Pictures scaled, turned and put somewhere in others."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from .batches import cycled
from .resampling import resize_bicubic, resize_bilinear


def place_image(
    destination: Tensor,
    source: Tensor,
    mask: Tensor | None = None,
    x: float = 0.5,
    y: float = 0.5,
    scale: float = 1.0,
    stretch: float = 1.0,
    degrees: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Put pictures, scaled and turned, over others; and masks of where they are.

    The pictures come back as they lie over the destination, without regard to the mask;
    the masks are 0 outside, and what the mask, else the alpha of the source, says inside.

    Args:
        destination: (B, 3 or 4, H, W).
        source: (b, 3 or 4, h, w); too few are repeated.
        mask: (b', h', w'), stretched over the source.
        x: Where its middle is, as a share of the destination's width.
        y: The same of the height.
        scale: Of both edges.
        stretch: Of the height besides.
        degrees: Counterclockwise.
    """
    count, _, height, width = destination.shape
    rows = max(1, int(source.shape[-2] * scale * stretch))
    columns = max(1, int(source.shape[-1] * scale))
    alpha = source[:, 3:] if source.shape[1] == 4 else torch.ones_like(source[:, :1])
    cover = alpha if mask is None else mask[:, None]
    color = resize_bicubic(source[:, :3], (rows, columns)).clamp(0, 1)
    cover = resize_bilinear(cover.to(color), (rows, columns))
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    wide = math.ceil(round(abs(columns * cos) + abs(rows * sin), 6))
    high = math.ceil(round(abs(columns * sin) + abs(rows * cos), 6))
    left, top = int(width * x - wide / 2), int(height * y - high / 2)
    across = torch.arange(width) + 0.5 - left - wide / 2
    down = (torch.arange(height) + 0.5 - top - high / 2)[:, None]
    u, v = across * cos - down * sin, across * sin + down * cos
    grid = torch.stack([u / columns * 2, v / rows * 2], dim=-1)[None].to(color)
    grid = grid.expand(count, -1, -1, -1)
    color = grid_sample(
        cycled(color, count), grid, padding_mode="border", align_corners=False
    )
    cover = grid_sample(cycled(cover, count), grid, align_corners=False)
    inside = (grid.abs() <= 1).all(-1)[:, None]
    placed = torch.where(inside, color.clamp(0, 1), destination[:, :3])
    cover = torch.where(inside, cover, torch.zeros_like(cover))[:, 0].clamp(0, 1)
    return torch.cat([placed, destination[:, 3:]], dim=1), cover
