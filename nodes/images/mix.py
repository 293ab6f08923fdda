"""Nodes that put pictures over one another."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from graphflow.spec.decorator import node
from graphflow.values import Image, Mask

from ..choices import Offset
from .checks import require_items

__all__ = ["blend_images", "composite_images"]

BlendMode: TypeAlias = Literal["normal", "multiply", "screen", "overlay", "soft_light", "difference", "subtract"]


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

    The modes are those of the W3C's Compositing and Blending Level 1; ``subtract`` is first - second.

    Raises:
        InvalidInputError: There is no second picture.
    """
    from graphflow.pixels.pasting import BLENDS

    require_items(second.pixels, first.pixels.shape[0])
    return replace(first, pixels=BLENDS[mode](first.pixels, second.pixels, factor))
