"""What nodes on pictures, masks and latents refuse, or tell, before they compute."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from graphflow import runtime
from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS

if TYPE_CHECKING:
    import torch


def require_size(width: int, height: int) -> None:
    """Refuse pictures that are too large.

    Raises:
        LimitError: There are more pixels, or a longer edge, than the limits allow.
    """
    if width * height > LIMITS.pixels or max(width, height) > LIMITS.edge:
        raise LimitError(f"{width} x {height} is larger than {LIMITS.pixels:,} pixels or {LIMITS.edge:,} along an edge")


def tell_rounding(width: int, height: int, downscale: int) -> None:
    """Tell the user of edges in pixels that are no whole number of latent samples: what is left over is cut."""
    rounded = tuple(max(edge - edge % downscale, min(edge, downscale)) for edge in (width, height))
    if rounded != (width, height):
        runtime.current().notice(
            f"{width} x {height} is no multiple of {downscale}, rounded down to {rounded[0]} x {rounded[1]}"
        )


def require_batch(count: int, *shape: int) -> None:
    """Refuse batches that are too large, before they are made.

    Args:
        count: How many items there are.
        shape: The shape of one.

    Raises:
        LimitError: There are more items, or bytes of float32, than the limits allow.
    """
    if count > LIMITS.batch:
        raise LimitError(f"a batch of {count:,} is larger than {LIMITS.batch:,}")
    if 4 * count * math.prod(shape) > LIMITS.held_bytes:
        shown = " x ".join(map(str, shape))
        raise LimitError(
            f"a batch of {count:,} items of {shown} numbers takes more than {LIMITS.held_bytes:,} bytes",
            advice="make it of smaller or fewer items",
        )


def require_items(tensor: torch.Tensor, count: int = 1) -> None:
    """Refuse an empty batch where items of it are wanted.

    Raises:
        InvalidInputError: There are no items to take or to repeat.
    """
    if not tensor.shape[0] and count:
        raise InvalidInputError("the batch is empty")


def require_inside(x: int, y: int, tensor: torch.Tensor) -> None:
    """Refuse a corner that lies outside of pictures or masks (…, H, W).

    Raises:
        InvalidInputError: It does.
    """
    rows, columns = tensor.shape[-2:]
    if x >= columns or y >= rows:
        raise InvalidInputError(
            f"x {x}, y {y} lies outside {columns} x {rows} pixels", advice=f"take places below {columns} and {rows}"
        )


def require_radius(radius: int, tensor: torch.Tensor) -> None:
    """Refuse a radius of blurring that edges cannot be mirrored for.

    Raises:
        InvalidInputError: An edge is not longer than the radius.
    """
    if min(tensor.shape[-2:]) <= radius:
        raise InvalidInputError(
            f"a radius of {radius} does not fit into {tensor.shape[-1]} x {tensor.shape[-2]} samples",
            where="radius",
            advice="take a smaller radius",
        )


def require_color(color: str) -> None:
    """Refuse what is no ``#rrggbb``.

    Raises:
        InvalidInputError: It is none.
    """
    if not re.fullmatch("#[0-9a-fA-F]{6}", color):
        raise InvalidInputError(f"{color!r} is no colour", advice="write #rrggbb, e.g. #ff8000")


def require_planes(samples: torch.Tensor) -> None:
    """Refuse to resample latents of sound.

    Raises:
        InvalidInputError: They have no rows and columns.
    """
    if samples.dim() < 4:
        raise InvalidInputError("latents of sound have no rows and columns to resample", where="latent")
