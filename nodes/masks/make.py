"""Nodes that make masks: (B, H, W) in [0, 1], 1 = regenerate."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import Image, Mask

from ..choices import Color, Edge, Offset, Pictures, Share
from ..images.checks import require_color, require_size

__all__ = ["mask_bounds", "mask_from_color", "mask_from_image", "mask_to_image", "rectangle_mask", "solid_mask"]


class Bounds(NamedTuple):
    """A rectangle in pixels."""

    x: Annotated[int, Field(description="left edge")]
    y: Annotated[int, Field(description="top edge")]
    width: Annotated[int, Field(description="width")]
    height: Annotated[int, Field(description="height")]


@node("solid_mask")
def solid_mask(
    width: Annotated[Edge, Field(description="pixels of the mask")] = 512,
    height: Annotated[Edge, Field(description="pixels of the mask")] = 512,
    value: Annotated[Share, Field(description="the value everywhere")] = 1.0,
) -> Mask:
    """Make a mask (1, height, width) of one value.

    Raises:
        LimitError: The mask is larger than the limits allow.
    """
    from graphflow.pixels import masks

    require_size(width, height)
    return Mask(values=masks.solid_mask(width, height, value))


@node("rectangle_mask")
def rectangle_mask(
    width: Annotated[Edge, Field(description="pixels of the mask")] = 512,
    height: Annotated[Edge, Field(description="pixels of the mask")] = 512,
    left: Annotated[Share, Field(description="left edge of the rectangle, as a share of the width")] = 0.25,
    top: Annotated[Share, Field(description="top edge, as a share of the height")] = 0.25,
    right: Annotated[Share, Field(description="right edge, as a share of the width")] = 0.75,
    bottom: Annotated[Share, Field(description="bottom edge, as a share of the height")] = 0.75,
    invert: Annotated[bool, Field(description="1 outside the rectangle instead of inside")] = False,
) -> Mask:
    """Make a mask (1, height, width) that is 1 inside a rectangle and 0 elsewhere.

    Raises:
        InvalidInputError: The rectangle is empty.
        LimitError: The mask is larger than the limits allow.
    """
    from graphflow.pixels import masks

    require_size(width, height)
    if round(left * width) >= round(right * width) or round(top * height) >= round(bottom * height):
        raise InvalidInputError(
            "the rectangle is empty", advice="left must be less than right, and top less than bottom"
        )
    return Mask(values=masks.rectangle_mask(width, height, left, top, right, bottom, invert))


@node("mask_from_image", map=True)
def mask_from_image(
    images: Pictures,
    channel: Annotated[
        Literal["red", "green", "blue", "alpha", "brightness"],
        Field(description="which channel; alpha is 1 where the picture is opaque"),
    ] = "red",
) -> Mask:
    """Take one channel of pictures (B, C, H, W) as masks (B, H, W).

    Raises:
        InvalidInputError: The pictures have no alpha channel.
    """
    from graphflow.pixels.masks import MASK_CHANNELS

    if channel == "alpha" and images.pixels.shape[1] < 4:
        raise InvalidInputError(
            "the pictures have no alpha channel", where="channel", advice="load them with keep_alpha, or use a colour"
        )
    return Mask(values=MASK_CHANNELS[channel](images.pixels))


@node("mask_from_color", map=True)
def mask_from_color(
    images: Pictures,
    color: Annotated[Color, Field(description="the colour, #rrggbb")] = "#000000",
    tolerance: Annotated[
        int, Field(ge=0, le=255, description="how far each of red, green and blue may be off, of 255")
    ] = 0,
) -> Mask:
    """Make masks (B, H, W) that are 1 where pictures have a colour and 0 elsewhere."""
    from graphflow.pixels import masks

    require_color(color)
    return Mask(values=masks.mask_from_color(images.pixels, color, tolerance))


@node("mask_to_image", map=True)
def mask_to_image(mask: Annotated[Mask, Field(description="the masks")]) -> Image:
    """Make grey pictures (B, 3, H, W) of masks (B, H, W): 1 is white."""
    from graphflow.pixels import masks

    return Image(pixels=masks.mask_to_image(mask.values))


@node("mask_bounds")
def mask_bounds(
    mask: Annotated[Mask, Field(description="the masks; several are taken together")],
    padding: Annotated[Offset, Field(description="pixels to add on every side, at most to the edges")] = 0,
) -> Bounds:
    """Find the smallest rectangle that holds all pixels above 0, as numbers for a crop.

    Raises:
        InvalidInputError: The mask is 0 everywhere.
    """
    from graphflow.pixels import masks

    if not (mask.values > 0).any():
        raise InvalidInputError("the mask is 0 everywhere", where="mask")
    return Bounds(*masks.mask_bounds(mask.values, padding))


def require_masks(mask: Mask, items: int) -> None:
    """Refuse masks that are neither one nor one for each item.

    Raises:
        InvalidInputError: There are several masks, and not as many as items.
    """
    if mask.values.shape[0] not in (1, items):
        raise InvalidInputError(
            f"{mask.values.shape[0]} masks do not fit {items} pictures",
            where="mask",
            advice="give one, or one for each",
        )
