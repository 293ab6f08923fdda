"""Nodes that change pictures and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.node import node
from graphflow.values import Image, Mask

from .choices import Crop, Resampling
from .resampling import resample, target_size

Edge = Annotated[int, Field(ge=0, le=LIMITS.edge)]
Share = Annotated[float, Field(ge=0, le=1)]


@node("resize", map=True)
def resize(
    images: Annotated[Image, Field(description="the pictures")],
    width: Annotated[Edge, Field(description="pixels; 0 follows height or scale")] = 0,
    height: Annotated[Edge, Field(description="pixels; 0 follows width or scale")] = 0,
    scale: Annotated[float, Field(gt=0, le=64, description="factor on both edges, where width and height are 0")] = 1.0,
    max_edge: Annotated[Edge, Field(description="shrink so that no edge is longer, in pixels; 0 is no bound")] = 0,
    method: Resampling = "bicubic",
    crop: Crop = "none",
    antialias: Annotated[
        bool, Field(description="smooth before shrinking (bilinear and bicubic; lanczos and area always do)")
    ] = True,
) -> Image:
    """Change the size of pictures: (B, C, H, W) to (B, C, height, width), values stay in [0, 1].

    Raises:
        LimitError: The result is larger than the limits allow.
    """
    old_height, old_width = images.pixels.shape[-2:]
    new_width, new_height = target_size(
        old_width, old_height, wanted_width=width, wanted_height=height, scale=scale, max_edge=max_edge
    )
    pixels = resample(images.pixels, (new_height, new_width), method, crop, antialias=antialias)
    return replace(images, pixels=pixels.clamp(0, 1))


@node("batch_images")
def batch_images(images: Annotated[Sequence[Image], Field(description="the pictures to put together")]) -> Image:
    """Put a sequence of pictures of one size into one batch (B, C, H, W), numbered from 0.

    Raises:
        InvalidInputError: The sizes or channels differ.
    """
    import torch

    parts = as_sequence(images)
    shapes = {tuple(part.pixels.shape[1:]) for part in parts}
    if len(shapes) != 1:
        shown = ", ".join(f"{w} x {h} with {c} channels" for c, h, w in sorted(shapes))
        raise InvalidInputError(
            f"pictures of different shapes do not make one batch: {shown}", advice="a resize node makes them equal"
        )
    numbers: list[int] = []
    offset = 0
    for part in parts:
        count = part.pixels.shape[0]
        numbers += [offset + number for number in (part.numbers or range(count))]
        offset += count + part.withheld
    withheld = sum(part.withheld for part in parts)
    return Image(
        pixels=torch.cat([part.pixels for part in parts]),
        numbers=tuple(numbers) if withheld else None,
        withheld=withheld,
    )


@node("rectangle_mask")
def rectangle_mask(
    width: Annotated[int, Field(ge=1, le=LIMITS.edge, description="pixels of the mask")] = 512,
    height: Annotated[int, Field(ge=1, le=LIMITS.edge, description="pixels of the mask")] = 512,
    left: Annotated[Share, Field(description="left edge of the rectangle, as a share of the width")] = 0.25,
    top: Annotated[Share, Field(description="top edge, as a share of the height")] = 0.25,
    right: Annotated[Share, Field(description="right edge, as a share of the width")] = 0.75,
    bottom: Annotated[Share, Field(description="bottom edge, as a share of the height")] = 0.75,
    invert: Annotated[bool, Field(description="1 outside the rectangle instead of inside")] = False,
) -> Mask:
    """Make a mask (1, height, width) that is 1 inside a rectangle and 0 elsewhere.

    Raises:
        InvalidInputError: The rectangle is empty.
    """
    import torch

    x0, x1 = round(left * width), round(right * width)
    y0, y1 = round(top * height), round(bottom * height)
    if x0 >= x1 or y0 >= y1:
        raise InvalidInputError(
            "the rectangle is empty", advice="left must be less than right, and top less than bottom"
        )
    values = torch.zeros(1, height, width)
    values[:, y0:y1, x0:x1] = 1.0
    return Mask(values=1.0 - values if invert else values)


@node("invert_mask", map=True)
def invert_mask(mask: Annotated[Mask, Field(description="the masks")]) -> Mask:
    """Swap what masks keep and what they make anew: 1 - mask, (B, H, W)."""
    return Mask(values=1.0 - mask.values)


def as_sequence(images: Image | Sequence[Image]) -> tuple[Image, ...]:
    """Return pictures that came as one batch or as a sequence of batches as a sequence.

    Raises:
        InvalidInputError: The sequence is empty.
    """
    parts = (images,) if isinstance(images, Image) else tuple(images)
    if not parts:
        raise InvalidInputError("the sequence of pictures is empty", where="images")
    return parts
