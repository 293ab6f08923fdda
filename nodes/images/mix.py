"""Nodes that put pictures over one another."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field

from graphflow.spec.decorator import node
from graphflow.values import Image, Mask

from ..choices import Offset
from .checks import require_items, require_size

__all__ = ["blend_images", "composite_images", "place_image"]

BlendMode: TypeAlias = Literal[
    "normal", "multiply", "screen", "overlay", "soft_light", "difference", "subtract", "darken", "lighten", "color_dodge",
    "color_burn", "hard_light", "exclusion", "add", "linear_burn", "linear_light", "vivid_light", "pin_light", "hard_mix",
    "divide", "hue", "saturation", "color", "luminosity",
]  # fmt: skip


@node("composite_images")
def composite_images(
    destination: Annotated[Image, Field(description="the pictures to paste into")],
    source: Annotated[Image, Field(description="the pictures to paste; too few are repeated")],
    mask: Annotated[Mask | None, Field(description="1 = paste, 0 = keep; stretched over the source")] = None,
    x: Annotated[Offset, Field(description="left edge of the source")] = 0,
    y: Annotated[Offset, Field(description="top edge of the source")] = 0,
    feather: Annotated[
        Offset, Field(description="pixels over which the source fades in at edges inside the destination")
    ] = 0,
    resize_source: Annotated[bool, Field(description="stretch the source over the whole destination first")] = False,
) -> Image:
    """Paste pictures into others; what lies outside is left out.

    The result has alpha where the destination has; a source without it is opaque.

    Raises:
        InvalidInputError: There is no source picture.
    """
    from graphflow.pixels import pasting

    require_items(source.pixels, destination.pixels.shape[0])
    if mask is not None:
        require_items(mask.values, destination.pixels.shape[0])
    values = None if mask is None else mask.values
    pixels = pasting.composite_images(destination.pixels, source.pixels, values, x, y, feather, resize_source)
    return replace(destination, pixels=pixels)


@node("blend_images")
def blend_images(
    first: Annotated[Image, Field(description="the pictures below; the result has their size")],
    second: Annotated[Image, Field(description="the pictures above, brought to the size of the first")],
    factor: Annotated[float, Field(ge=0, le=1, description="opacity of the second")] = 0.5,
    mode: Annotated[BlendMode, Field(description="how the second acts on the first where it is opaque")] = "normal",
) -> Image:
    """Blend pictures: first * (1 - factor) + blended(first, second) * factor; alpha is the first's.

    The modes are those of the W3C's Compositing and Blending Level 1, and of paint programs: ``subtract`` is first - second,
    ``add`` first + second, ``divide`` first / second, ``linear_burn`` first + second - 1, ``linear_light``
    first + 2 second - 1; ``vivid_light`` burns and dodges, ``pin_light`` keeps the first between 2 second - 1 and 2 second,
    ``hard_mix`` is 1 where first + second reach 1.

    Raises:
        InvalidInputError: There is no second picture.
    """
    from graphflow.pixels.blending import BLENDS

    require_items(second.pixels, first.pixels.shape[0])
    return replace(first, pixels=BLENDS[mode](first.pixels, second.pixels, factor))


class Placed(NamedTuple):
    """A picture over another, and where it is."""

    image: Annotated[Image, Field(description="the pictures with the source over them, as if all of it were opaque")]
    mask: Annotated[Mask, Field(description="1 = source, as its mask, else its alpha, says; 0 outside")]


@node("place_image")
def place_image(
    destination: Annotated[Image, Field(description="the pictures below")],
    source: Annotated[Image, Field(description="the pictures to place; too few are repeated")],
    mask: Annotated[Mask | None, Field(description="what of the source is seen; stretched over it")] = None,
    x: Annotated[float, Field(ge=-10, le=10, description="where its middle is, as a share of the width")] = 0.5,
    y: Annotated[float, Field(ge=-10, le=10, description="where its middle is, as a share of the height")] = 0.5,
    scale: Annotated[float, Field(gt=0, le=100, description="factor on both edges")] = 1.0,
    stretch: Annotated[float, Field(gt=0, le=100, description="another factor on the height")] = 1.0,
    degrees: Annotated[float, Field(ge=-360, le=360, description="how far to turn, counterclockwise")] = 0.0,
) -> Placed:
    """Scale and turn pictures, and put them over others; ``blend_images`` and ``composite_images`` mix them.

    Raises:
        InvalidInputError: There is no source picture.
        LimitError: The scaled source is larger than the limits allow.
    """
    from graphflow.pixels import placing

    count = destination.pixels.shape[0]
    require_items(source.pixels, count)
    if mask is not None:
        require_items(mask.values, count)
    height, width = source.pixels.shape[-2:]
    require_size(max(1, int(width * scale)), max(1, int(height * scale * stretch)))
    values = None if mask is None else mask.values
    pixels, cover = placing.place_image(destination.pixels, source.pixels, values, x, y, scale, stretch, degrees)
    return Placed(replace(destination, pixels=pixels), Mask(values=cover))
