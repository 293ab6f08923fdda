"""Nodes that cut, pad, turn and join pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.pixels.batching import cycle_to
from graphflow.pixels.channels import with_channels
from graphflow.pixels.resampling import require_size, resample
from graphflow.spec.decorator import node
from graphflow.values import Image

from ..masks.edit import crop_rectangle
from ..sampling.choices import Color, Degrees, Edge, Flip, Offset, Side
from .colors import filled

if TYPE_CHECKING:
    import torch

__all__ = ["crop_image", "flip_image", "pad_image", "rotate_image", "stitch_images"]

Pictures = Annotated[Image, Field(description="the pictures")]


@node("crop_image", map=True)
def crop_image(
    images: Pictures,
    x: Annotated[Offset, Field(description="left edge")] = 0,
    y: Annotated[Offset, Field(description="top edge")] = 0,
    width: Annotated[Edge, Field(description="width; what lies outside is left out")] = 512,
    height: Annotated[Edge, Field(description="height; what lies outside is left out")] = 512,
) -> Image:
    """Cut a rectangle out of pictures.

    Raises:
        InvalidInputError: The rectangle lies outside.
    """
    return replace(images, pixels=crop_rectangle(images.pixels, x, y, width, height))


@node("pad_image", map=True)
def pad_image(
    images: Pictures,
    left: Annotated[Offset, Field(description="pixels to add")] = 0,
    top: Annotated[Offset, Field(description="pixels to add")] = 0,
    right: Annotated[Offset, Field(description="pixels to add")] = 0,
    bottom: Annotated[Offset, Field(description="pixels to add")] = 0,
    fill: Annotated[
        Literal["color", "edge", "reflect"],
        Field(description="color is one colour, edge repeats the outermost pixels, reflect mirrors the picture"),
    ] = "color",
    color: Annotated[Color, Field(description="the colour, #rrggbb")] = "#000000",
) -> Image:
    """Add margins to pictures.

    Raises:
        InvalidInputError: A mirrored margin is as large as the picture.
        LimitError: The result is larger than the limits allow.
    """
    import torch.nn.functional as functional

    batch, channels, height, width = images.pixels.shape
    require_size(width + left + right, height + top + bottom)
    if fill == "color":
        result = filled(color, batch, channels, height + top + bottom, width + left + right)
        result[..., top : top + height, left : left + width] = images.pixels
        return replace(images, pixels=result)
    if fill == "reflect" and (max(left, right) >= width or max(top, bottom) >= height):
        raise InvalidInputError(
            f"a picture of {width} x {height} cannot be mirrored over such margins", advice="pad twice, or by less"
        )
    mode = "replicate" if fill == "edge" else "reflect"
    return replace(images, pixels=functional.pad(images.pixels, (left, right, top, bottom), mode=mode))


@node("flip_image", map=True)
def flip_image(images: Pictures, direction: Flip = "vertical") -> Image:
    """Mirror pictures (B, C, H, W)."""
    return replace(images, pixels=images.pixels.flip(-2 if direction == "vertical" else -1))


@node("rotate_image", map=True)
def rotate_image(images: Pictures, degrees: Degrees = 90) -> Image:
    """Turn pictures (B, C, H, W) clockwise by a multiple of 90 degrees."""
    return replace(images, pixels=images.pixels.rot90(-degrees // 90, (-2, -1)))


@node("stitch_images")
def stitch_images(
    first: Annotated[Image, Field(description="the first pictures")],
    second: Annotated[Image, Field(description="the second pictures; the last one of the shorter batch is repeated")],
    direction: Side = "right",
    match_size: Annotated[
        bool, Field(description="resize the second to the edge that they share; else the smaller is centred on black")
    ] = True,
    spacing: Annotated[Offset, Field(description="pixels between them")] = 0,
    color: Annotated[Color, Field(description="the colour between them, #rrggbb")] = "#ffffff",
) -> Image:
    """Put pictures side by side or one below the other.

    Raises:
        InvalidInputError: A batch is empty.
        LimitError: The result is larger than the limits allow.
    """
    import torch

    channels = max(first.pixels.shape[1], second.pixels.shape[1])
    count = max(first.pixels.shape[0], second.pixels.shape[0])
    a, b = (_last_to(with_channels(image.pixels, channels), count) for image in (first, second))
    across = direction in ("right", "left")
    if match_size:
        height, width = a.shape[-2:]
        ratio = b.shape[-1] / b.shape[-2]
        size = (height, max(1, int(height * ratio))) if across else (max(1, int(width / ratio)), width)
        b = resample(b, size, "lanczos_8bit")
    elif across:
        a, b = (_centred(part, max(a.shape[-2], b.shape[-2]), part.shape[-1]) for part in (a, b))
    else:
        a, b = (_centred(part, part.shape[-2], max(a.shape[-1], b.shape[-1])) for part in (a, b))
    parts = [a, b] if direction in ("right", "down") else [b, a]
    if spacing:
        gap = (a.shape[-2], spacing) if across else (spacing, a.shape[-1])
        parts.insert(1, filled(color, count, channels, *gap))
    require_size(
        sum(part.shape[-1] for part in parts) if across else a.shape[-1],
        a.shape[-2] if across else sum(part.shape[-2] for part in parts),
    )
    return Image(pixels=torch.cat(parts, dim=-1 if across else -2))


def _last_to(pixels: torch.Tensor, count: int) -> torch.Tensor:
    """Bring (B, …) to ``count`` items, repeating the last one."""
    import torch

    if not pixels.shape[0]:
        raise InvalidInputError("the batch is empty")
    missing = count - pixels.shape[0]
    return torch.cat([pixels, cycle_to(pixels[-1:], missing)]) if missing else pixels


def _centred(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Centre pictures on black of (height, width)."""
    import torch.nn.functional as functional

    rows, columns = height - pixels.shape[-2], width - pixels.shape[-1]
    return functional.pad(pixels, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
