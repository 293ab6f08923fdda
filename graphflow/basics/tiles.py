"""Computing a picture tile by tile and blending the tiles where they overlap."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_tiles(
    compute: Callable[[Tensor], Tensor],
    source: Tensor,
    *,
    tile: tuple[int, int],
    overlap: int,
    scale: float,
    channels: int,
) -> Tensor:
    """Compute a function of a picture in overlapping tiles, each faded in over the overlap.

    Args:
        compute: From a tile (1, C, h, w) to (1, `channels`, h * scale, w * scale).
        source: (B, C, H, W).
        tile: Height and width of a tile, in samples of the source.
        overlap: Samples of the source that neighbours share.
        scale: Output samples per source sample.
        channels: Channels of the output.

    Returns:
        (B, `channels`, H * scale, W * scale), float32, on the source's device.
    """
    sizes = [round(edge * scale) for edge in source.shape[-2:]]
    fade = max(1, round(overlap * scale))
    items = []
    for item in source.split(1):
        total = torch.zeros((1, channels, *sizes), device=source.device)
        weight = torch.zeros((1, 1, *sizes), device=source.device)
        for top in tile_starts(source.shape[-2], tile[0], overlap):
            for left in tile_starts(source.shape[-1], tile[1], overlap):
                # Slicing ends at the edge of the picture, so the last tiles are smaller.
                window = item[..., top : top + tile[0], left : left + tile[1]]
                part = compute(window).float()
                rows, columns = part.shape[-2:]
                down, across = tile_ramp(rows, fade), tile_ramp(columns, fade)
                mask = down[:, None] * across[None, :]
                mask = mask.to(part.device)
                y, x = round(top * scale), round(left * scale)
                place = (..., slice(y, y + rows), slice(x, x + columns))
                total[place] += part * mask
                weight[place] += mask
        items.append(total / weight)
    return torch.cat(items)


def tile_count(size: int, tile: int, overlap: int) -> int:
    """How many tiles stand along an edge."""
    return len(tile_starts(size, tile, overlap))


def tile_starts(size: int, tile: int, overlap: int) -> range:
    """First samples of the tiles along one edge."""
    if size <= tile:
        return range(1)
    return range(0, size - overlap, max(1, tile - overlap))


def tile_ramp(length: int, fade: int) -> Tensor:
    """Weights of the samples along an edge that rise and fall linearly."""
    rise = ((torch.arange(length) + 1) / fade).clamp(max=1.0)
    return rise * rise.flip(0)
