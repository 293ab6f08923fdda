"""Nodes that make masks: (B, H, W) in [0, 1], 1 = regenerate."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.pixels.resampling import require_size
from graphflow.spec.decorator import node
from graphflow.values import Image, Mask

from ..images.colors import rgb
from ..sampling.choices import Color, Edge, Offset

__all__ = ["mask_bounds", "mask_from_color", "mask_from_image", "mask_to_image", "rectangle_mask", "solid_mask"]

Share = Annotated[float, Field(ge=0, le=1)]
Pictures = Annotated[Image, Field(description="the pictures")]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


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
    import torch

    require_size(width, height)
    return Mask(values=torch.full((1, height, width), float(value)))


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
    import torch

    require_size(width, height)
    x0, x1 = round(left * width), round(right * width)
    y0, y1 = round(top * height), round(bottom * height)
    if x0 >= x1 or y0 >= y1:
        raise InvalidInputError(
            "the rectangle is empty", advice="left must be less than right, and top less than bottom"
        )
    values = torch.zeros(1, height, width)
    values[:, y0:y1, x0:x1] = 1.0
    return Mask(values=1.0 - values if invert else values)


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
    import torch

    if channel == "brightness":
        weights = torch.tensor(LUMA).reshape(1, 3, 1, 1)
        return Mask(values=(images.pixels[:, :3] * weights).sum(1).clamp(0, 1))
    index = ("red", "green", "blue", "alpha").index(channel)
    if index >= images.pixels.shape[1]:
        raise InvalidInputError(
            "the pictures have no alpha channel", where="channel", advice="load them with keep_alpha, or use a colour"
        )
    return Mask(values=images.pixels[:, index].clone())


@node("mask_from_color", map=True)
def mask_from_color(
    images: Pictures,
    color: Annotated[Color, Field(description="the colour, #rrggbb")] = "#000000",
    tolerance: Annotated[
        int, Field(ge=0, le=255, description="how far each of red, green and blue may be off, of 255")
    ] = 0,
) -> Mask:
    """Make masks (B, H, W) that are 1 where pictures have a colour and 0 elsewhere."""
    import torch

    wanted = torch.tensor(rgb(color)).reshape(1, 3, 1, 1)
    off = ((images.pixels[:, :3].clamp(0, 1) - wanted) * 255).round().abs()
    return Mask(values=(off <= tolerance).all(dim=1).float())


@node("mask_to_image", map=True)
def mask_to_image(mask: Annotated[Mask, Field(description="the masks")]) -> Image:
    """Make grey pictures (B, 3, H, W) of masks (B, H, W): 1 is white."""
    return Image(pixels=mask.values[:, None].expand(-1, 3, -1, -1).clone())


@node("mask_bounds")
def mask_bounds(
    mask: Annotated[Mask, Field(description="the masks; several are taken together")],
    padding: Annotated[Offset, Field(description="pixels to add on every side, at most to the edges")] = 0,
) -> Bounds:
    """Find the smallest rectangle that holds all pixels above 0, as numbers for a crop.

    Raises:
        InvalidInputError: The mask is 0 everywhere.
    """
    any_item = (mask.values > 0).any(dim=0)
    rows, columns = any_item.any(dim=1).nonzero().flatten().tolist(), any_item.any(dim=0).nonzero().flatten().tolist()
    if not rows:
        raise InvalidInputError("the mask is 0 everywhere", where="mask")
    height, width = any_item.shape
    left, top = max(0, columns[0] - padding), max(0, rows[0] - padding)
    right, bottom = min(width, columns[-1] + 1 + padding), min(height, rows[-1] + 1 + padding)
    return Bounds(left, top, right - left, bottom - top)


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
