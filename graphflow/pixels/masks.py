"""Masks (B, H, W) in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from .batches import cycled
from .colors import luma, rgb
from .filters import dilate, erode, gaussian_blur


def solid_mask(width: int = 512, height: int = 512, value: float = 1.0) -> Tensor:
    """Make a mask (1, height, width) of one value."""
    return torch.full((1, height, width), float(value))


def rectangle_mask(
    width: int = 512,
    height: int = 512,
    left: float = 0.25,
    top: float = 0.25,
    right: float = 0.75,
    bottom: float = 0.75,
    invert: bool = False,
) -> Tensor:
    """Make a mask (1, height, width) that is 1 inside a rectangle and 0 elsewhere."""
    rows = slice(round(top * height), round(bottom * height))
    columns = slice(round(left * width), round(right * width))
    values = torch.zeros(1, height, width)
    values[:, rows, columns] = 1.0
    return 1.0 - values if invert else values


def mask_from_red(images: Tensor) -> Tensor:
    """Take the red of pictures (B, C, H, W) as masks (B, H, W)."""
    return images[:, 0].clone()


def mask_from_green(images: Tensor) -> Tensor:
    """Take the green of pictures (B, C, H, W) as masks (B, H, W)."""
    return images[:, 1].clone()


def mask_from_blue(images: Tensor) -> Tensor:
    """Take the blue of pictures (B, C, H, W) as masks (B, H, W)."""
    return images[:, 2].clone()


def mask_from_alpha(images: Tensor) -> Tensor:
    """Take how opaque pictures (B, 4, H, W) are as masks (B, H, W)."""
    return images[:, 3].clone()


def mask_from_brightness(images: Tensor) -> Tensor:
    """Take the brightness of pictures (B, C, H, W) as masks (B, H, W)."""
    return luma(images[:, :3])[:, 0].clamp(0, 1)


MASK_CHANNELS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "red": mask_from_red,
        "green": mask_from_green,
        "blue": mask_from_blue,
        "alpha": mask_from_alpha,
        "brightness": mask_from_brightness,
    }
)
"""By the names that nodes call them by."""


def mask_from_color(
    images: Tensor, color: str = "#000000", tolerance: int = 0
) -> Tensor:
    """Make masks (B, H, W) that are 1 where pictures have a colour and 0 elsewhere."""
    wanted = torch.tensor(rgb(color)).reshape(1, 3, 1, 1)
    off = ((images[:, :3].clamp(0, 1) - wanted) * 255).round().abs()
    return (off <= tolerance).all(dim=1).float()


def mask_to_image(mask: Tensor) -> Tensor:
    """Make grey pictures (B, 3, H, W) of masks (B, H, W): 1 is white."""
    return mask[:, None].expand(-1, 3, -1, -1).clone()


def mask_bounds(mask: Tensor, padding: int = 0) -> tuple[int, int, int, int]:
    """Find the smallest rectangle (x, y, width, height) that holds all pixels above 0.

    Raises:
        IndexError: There is none.
    """
    inside = (mask > 0).any(dim=0)
    rows = inside.any(dim=1).nonzero().flatten().tolist()
    columns = inside.any(dim=0).nonzero().flatten().tolist()
    height, width = inside.shape
    left, top = max(0, columns[0] - padding), max(0, rows[0] - padding)
    right = min(width, columns[-1] + 1 + padding)
    bottom = min(height, rows[-1] + 1 + padding)
    return left, top, right - left, bottom - top


def invert_mask(mask: Tensor) -> Tensor:
    """Swap what masks keep and what they make anew: 1 - mask."""
    return 1.0 - mask


def grow_mask(mask: Tensor, amount: int = 0, tapered_corners: bool = True) -> Tensor:
    """Grow or shrink the bright parts of masks pixel by pixel: a diamond, or a square."""
    step, better = (dilate, torch.maximum) if amount > 0 else (erode, torch.minimum)
    values = mask[:, None]
    for _ in range(abs(amount)):
        if tapered_corners:
            # A cross instead of a square: the better of a row and a column.
            grown = better(step(values, 1, 3), step(values, 3, 1))
        else:
            grown = step(values, 3, 3)
        if grown.equal(values):
            break
        values = grown
    return values[:, 0]


def feather_mask(
    mask: Tensor,
    left: int = 0,
    top: int = 0,
    right: int = 0,
    bottom: int = 0,
    across: bool = False,
) -> Tensor:
    """Fade masks out linearly towards the edges of the picture.

    With ``across`` the darkest column of the right fade lies at the left edge, and the
    darkest row of the bottom one at the top.
    """
    height, width = mask.shape[-2:]
    far_rows, far_columns = edge_fade(height, bottom), edge_fade(width, right)
    far_rows, far_columns = far_rows.flip(0), far_columns.flip(0)
    if across:
        far_rows, far_columns = far_rows.roll(1), far_columns.roll(1)
    rows, columns = edge_fade(height, top), edge_fade(width, left)
    return mask * (rows * far_rows)[:, None] * (columns * far_columns)[None, :]


def edge_fade(length: int, margin: int) -> Tensor:
    """Weights 1 / margin, 2 / margin, … at the beginning of an edge, then 1."""
    margin = min(margin, length)
    rise = (torch.arange(margin) + 1) / max(1, margin)
    return torch.cat([rise, torch.ones(length - margin)])


def blur_mask(mask: Tensor, radius: int = 4, sigma: float = 0.0) -> Tensor:
    """Soften the edges of masks; sigma is in pixels, 0 being a third of the radius."""
    spread = max(sigma, 0.1) / radius if sigma else 1 / 3
    return gaussian_blur(mask[:, None], radius, spread)[:, 0].clamp(0, 1)


def threshold_mask(mask: Tensor, threshold: float = 0.5) -> Tensor:
    """Make masks of 0 and 1 only."""
    return (mask > threshold).float()


def compose_masks(
    destination: Tensor,
    source: Tensor,
    x: int,
    y: int,
    combine: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Combine masks where a source lies on a destination; values stay in [0, 1]."""
    result = destination.clone()
    count, height, width = result.shape
    if not count or x >= width or y >= height:
        return result
    above = cycled(source, count)
    rows, columns = min(above.shape[-2], height - y), min(above.shape[-1], width - x)
    place = (slice(None), slice(y, y + rows), slice(x, x + columns))
    result[place] = combine(result[place], above[:, :rows, :columns])
    return result.clamp(0, 1)


def multiply_masks(
    destination: Tensor, source: Tensor, x: int = 0, y: int = 0
) -> Tensor:
    """Multiply masks where a source lies on a destination."""
    return compose_masks(destination, source, x, y, lambda a, b: a * b)


def add_masks(destination: Tensor, source: Tensor, x: int = 0, y: int = 0) -> Tensor:
    """Add masks where a source lies on a destination."""
    return compose_masks(destination, source, x, y, lambda a, b: a + b)


def subtract_masks(
    destination: Tensor, source: Tensor, x: int = 0, y: int = 0
) -> Tensor:
    """Subtract a source from a destination where it lies on it."""
    return compose_masks(destination, source, x, y, lambda a, b: a - b)


def intersect_masks(
    destination: Tensor, source: Tensor, x: int = 0, y: int = 0
) -> Tensor:
    """Keep what is in both masks, rounded to 0 and 1, where a source lies."""

    def both(a: Tensor, b: Tensor) -> Tensor:
        return (a.round().bool() & b.round().bool()).float()

    return compose_masks(destination, source, x, y, both)


def unite_masks(destination: Tensor, source: Tensor, x: int = 0, y: int = 0) -> Tensor:
    """Keep what is in one of two masks, rounded to 0 and 1, where a source lies."""

    def either(a: Tensor, b: Tensor) -> Tensor:
        return (a.round().bool() | b.round().bool()).float()

    return compose_masks(destination, source, x, y, either)


def exclude_masks(
    destination: Tensor, source: Tensor, x: int = 0, y: int = 0
) -> Tensor:
    """Keep what is in just one of two masks, rounded to 0 and 1, where a source lies."""

    def one(a: Tensor, b: Tensor) -> Tensor:
        return (a.round().bool() ^ b.round().bool()).float()

    return compose_masks(destination, source, x, y, one)


COMPOSITIONS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        "multiply": multiply_masks,
        "add": add_masks,
        "subtract": subtract_masks,
        "and": intersect_masks,
        "or": unite_masks,
        "xor": exclude_masks,
    }
)
"""By the names that nodes call them by."""
