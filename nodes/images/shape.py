"""Nodes that cut, pad, turn and join pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import Image

from ..choices import Color, Degrees, Edge, Flip, Offset, Pictures, Side
from .checks import require_batch, require_color, require_inside, require_items, require_size

__all__ = ["crop_image", "flip_image", "pad_image", "rotate_image", "stitch_images"]


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
    from graphflow.pixels.shapes import crop_rectangle

    require_inside(x, y, images.pixels)
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
    from graphflow.pixels.shapes import PADDINGS

    require_color(color)
    height, width = images.pixels.shape[-2:]
    require_size(width + left + right, height + top + bottom)
    require_batch(*images.pixels.shape[:2], height + top + bottom, width + left + right)
    if fill == "reflect" and (max(left, right) >= width or max(top, bottom) >= height):
        raise InvalidInputError(
            f"a picture of {width} x {height} cannot be mirrored over such margins", advice="pad twice, or by less"
        )
    options = {"color": color} if fill == "color" else {}
    return replace(images, pixels=PADDINGS[fill](images.pixels, left, top, right, bottom, **options))


@node("flip_image", map=True)
def flip_image(images: Pictures, direction: Flip = "vertical") -> Image:
    """Mirror pictures (B, C, H, W)."""
    from graphflow.pixels.shapes import FLIPS

    return replace(images, pixels=FLIPS[direction](images.pixels))


@node("rotate_image", map=True)
def rotate_image(images: Pictures, degrees: Degrees = 90) -> Image:
    """Turn pictures (B, C, H, W) clockwise by a multiple of 90 degrees."""
    from graphflow.pixels.shapes import rotate

    return replace(images, pixels=rotate(images.pixels, degrees))


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
    from graphflow.pixels import shapes

    for image in (first, second):
        require_items(image.pixels)
    require_color(color)
    pixels = shapes.stitch_images(first.pixels, second.pixels, direction, match_size, spacing, color)
    require_size(pixels.shape[-1], pixels.shape[-2])
    return Image(pixels=pixels)
