"""Pictures and masks cut, padded, turned and joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from .alpha import with_channels
from .batches import last_repeated
from .colors import filled
from .resampling import resize_lanczos_8bit


def crop_rectangle(
    tensor: Tensor, x: int = 0, y: int = 0, width: int = 512, height: int = 512
) -> Tensor:
    """Cut a rectangle, as far as it lies inside, out of (…, H, W)."""
    return tensor[..., y : y + height, x : x + width]


def pad_with_color(
    images: Tensor,
    left: int = 0,
    top: int = 0,
    right: int = 0,
    bottom: int = 0,
    color: str = "#000000",
) -> Tensor:
    """Add margins of one colour to pictures."""
    batch, channels, height, width = images.shape
    size = height + top + bottom, width + left + right
    result = filled(color, batch, channels, *size)
    result[..., top : top + height, left : left + width] = images
    return result


def pad_with_edge(
    images: Tensor, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0
) -> Tensor:
    """Add margins that repeat the outermost pixels of pictures."""
    return functional.pad(images, (left, right, top, bottom), mode="replicate")


def pad_with_mirror(
    images: Tensor, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0
) -> Tensor:
    """Add margins that mirror pictures, which are larger than the margins."""
    return functional.pad(images, (left, right, top, bottom), mode="reflect")


PADDINGS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"color": pad_with_color, "edge": pad_with_edge, "reflect": pad_with_mirror}
)
"""By the names that nodes call them by."""


def paste_centred(inner: Tensor, size: Sequence[int], color: str = "#000000") -> Tensor:
    """Pictures in the middle of a size (height, width), with margins of one colour."""
    batch, channels, height, width = inner.shape
    result = filled(color, batch, channels, *size)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    result[..., top : top + height, left : left + width] = inner
    return result


def fitted_size(size: Sequence[int], bounds: Sequence[int]) -> tuple[int, int]:
    """The largest size of the same shape within bounds, all (height, width)."""
    ratio = min(bounds[1] / size[1], bounds[0] / size[0])
    height, width = (max(1, int(edge * ratio)) for edge in size)
    return height, width


def flip_vertically(tensor: Tensor) -> Tensor:
    """Mirror (…, H, W) from top to bottom."""
    return tensor.flip(-2)


def flip_horizontally(tensor: Tensor) -> Tensor:
    """Mirror (…, H, W) from left to right."""
    return tensor.flip(-1)


FLIPS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"vertical": flip_vertically, "horizontal": flip_horizontally}
)
"""By the names that nodes call them by."""


def rotate(tensor: Tensor, degrees: int = 90) -> Tensor:
    """Turn (…, H, W) clockwise by a multiple of 90 degrees."""
    return tensor.rot90(-degrees // 90, (-2, -1))


def stitch_images(
    first: Tensor,
    second: Tensor,
    direction: str = "right",
    match_size: bool = True,
    spacing: int = 0,
    color: str = "#ffffff",
) -> Tensor:
    """Put pictures side by side or one below the other.

    Args:
        first: (B, 3 or 4, H, W).
        second: The same; of the shorter batch the last one is repeated.
        direction: On which side of the first the second comes.
        match_size: Resize the second to the edge that they share; else the smaller one
            is centred on black.
        spacing: Pixels between them.
        color: Their colour.
    """
    channels = max(first.shape[1], second.shape[1])
    count = max(first.shape[0], second.shape[0])
    a = last_repeated(with_channels(first, channels), count)
    b = last_repeated(with_channels(second, channels), count)
    across = direction in ("right", "left")
    height, width = a.shape[-2:]
    if match_size:
        ratio = b.shape[-1] / b.shape[-2]
        along = (height, max(1, int(height * ratio)))
        size = along if across else (max(1, int(width / ratio)), width)
        b = resize_lanczos_8bit(b, size)
    elif across:
        tall = max(height, b.shape[-2])
        a, b = (centred(part, tall, part.shape[-1]) for part in (a, b))
    else:
        wide = max(width, b.shape[-1])
        a, b = (centred(part, part.shape[-2], wide) for part in (a, b))
    parts = [a, b] if direction in ("right", "down") else [b, a]
    if spacing:
        gap = (a.shape[-2], spacing) if across else (spacing, a.shape[-1])
        parts.insert(1, filled(color, count, channels, *gap))
    return torch.cat(parts, dim=-1 if across else -2)


def centred(pixels: Tensor, height: int, width: int) -> Tensor:
    """Centre pictures on black of a size."""
    rows, columns = height - pixels.shape[-2], width - pixels.shape[-1]
    top, left = rows // 2, columns // 2
    return functional.pad(pixels, (left, columns - left, top, rows - top))
