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
    """Compute a function of a picture in overlapping tiles, each faded in linearly over the overlap.

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
    height, width = source.shape[-2:]
    sizes = (round(height * scale), round(width * scale))
    fade = max(1, round(overlap * scale))
    items: list[Tensor] = []
    for item in source.split(1):
        total = torch.zeros((1, channels, *sizes), device=source.device)
        weight = torch.zeros((1, 1, *sizes), device=source.device)
        for top in _starts(height, tile[0], overlap):
            for left in _starts(width, tile[1], overlap):
                # Slicing ends at the edge of the picture, so the last tiles are smaller.
                part = compute(item[..., top : top + tile[0], left : left + tile[1]]).float()
                mask = _ramp(part.shape[-2], fade)[:, None] * _ramp(part.shape[-1], fade)[None, :]
                mask = mask.to(part.device)
                rows = slice(round(top * scale), round(top * scale) + part.shape[-2])
                columns = slice(round(left * scale), round(left * scale) + part.shape[-1])
                total[..., rows, columns] += part * mask
                weight[..., rows, columns] += mask
        items.append(total / weight)
    return torch.cat(items)


def tile_count(size: int, tile: int, overlap: int) -> int:
    """How many tiles stand along an edge."""
    return len(_starts(size, tile, overlap))


def _starts(size: int, tile: int, overlap: int) -> range:
    """First samples of the tiles along one edge."""
    return range(0, size - overlap, max(1, tile - overlap)) if size > tile else range(1)


def _ramp(length: int, fade: int) -> Tensor:
    rise = ((torch.arange(length) + 1) / fade).clamp(max=1.0)
    return rise * rise.flip(0)
