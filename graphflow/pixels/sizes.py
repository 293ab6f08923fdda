"""Sizes of pictures, (height, width) in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence


def target_size(
    size: Sequence[int],
    *,
    width: int = 0,
    height: int = 0,
    scale: float = 1.0,
    megapixels: float = 0.0,
    longest_edge: int = 0,
    max_edge: int = 0,
    multiple_of: int = 1,
) -> tuple[int, int]:
    """The size that one edge, an area, a factor or the longest edge asks for.

    A given edge counts; the other follows the shape. Where none is given, the first of
    ``longest_edge`` (exactly that many pixels), ``megapixels`` (of 1024 * 1024 pixels)
    and ``scale`` that is set counts. ``max_edge`` then shrinks what is too long, 0
    shrinks nothing. Edges are rounded to the nearest ``multiple_of`` pixels.
    """
    old_height, old_width = size
    if width or height:
        wanted = (
            float(height or old_height * width / old_width),
            float(width or old_width * height / old_height),
        )
    else:
        if longest_edge:
            scale = longest_edge / max(size)
        elif megapixels:
            scale = math.sqrt(megapixels * 1024 * 1024 / (old_width * old_height))
        wanted = old_height * scale, old_width * scale
    return whole_pixels(shrunk(wanted, max_edge), multiple_of)


def shrunk(size: Sequence[float], max_edge: int) -> Sequence[float]:
    """A size of which no edge is longer than `max_edge`, 0 being no bound."""
    longest = max(size)
    if not max_edge or longest <= max_edge:
        return size
    return [edge * max_edge / longest for edge in size]


def whole_pixels(size: Sequence[float], multiple_of: int = 1) -> tuple[int, int]:
    """A size in multiples of some pixels, the nearest ones."""
    height, width = (round(edge / multiple_of) * multiple_of for edge in size)
    return max(multiple_of, height), max(multiple_of, width)


def nearest_shape(
    size: Sequence[int], choices: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """The size among choices of (width, height) whose shape is nearest to another's."""
    shape = size[1] / size[0]
    width, height = min(choices, key=lambda item: abs(item[0] / item[1] - shape))
    return height, width


def latent_size(
    size: Sequence[int],
    width: int = 0,
    height: int = 0,
    scale: float = 1.0,
    downscale: int = 8,
) -> tuple[int, int]:
    """The size of latents for a picture of this size, or by a factor.

    An edge that follows the other is whole pixels first, whole samples then.
    """
    rows, columns = size
    if width or height:
        tall = height or round(rows * width / columns)
        wide = width or round(columns * height / rows)
        return max(1, tall // downscale), max(1, wide // downscale)
    return max(1, round(rows * scale)), max(1, round(columns * scale))
