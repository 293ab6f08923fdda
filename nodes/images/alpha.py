"""Nodes on transparency. In a mask 1 is transparent, in a picture's fourth channel 1 is opaque."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field

from graphflow.spec.decorator import node
from graphflow.values import Image, Mask

from ..choices import Pictures
from .checks import require_items

__all__ = ["join_alpha", "porter_duff", "split_alpha"]

PorterDuffMode: TypeAlias = Literal[
    "add", "clear", "darken", "dst", "dst_atop", "dst_in", "dst_out", "dst_over", "lighten", "multiply", "overlay",
    "screen", "src", "src_atop", "src_in", "src_out", "src_over", "xor",
]  # fmt: skip


class Transparent(NamedTuple):
    """Colours and transparency."""

    image: Annotated[Image, Field(description="the colours, (B, 3, H, W)")]
    mask: Annotated[Mask, Field(description="1 where they are transparent, (B, H, W)")]


@node("join_alpha")
def join_alpha(
    images: Pictures,
    mask: Annotated[Mask, Field(description="1 = transparent; stretched over the pictures, too few are repeated")],
) -> Image:
    """Give pictures an alpha channel: (B, 3 or 4, H, W) to (B, 4, H, W).

    Raises:
        InvalidInputError: There is no mask.
    """
    from graphflow.pixels import alpha

    require_items(mask.values, images.pixels.shape[0])
    return replace(images, pixels=alpha.join_alpha(images.pixels, mask.values))


@node("split_alpha", map=True)
def split_alpha(images: Pictures) -> Transparent:
    """Take pictures apart into colours and transparency; without an alpha channel nothing is transparent."""
    from graphflow.pixels import alpha

    pixels, values = alpha.split_alpha(images.pixels)
    return Transparent(replace(images, pixels=pixels), Mask(values=values))


@node("porter_duff")
def porter_duff(
    source: Annotated[Image, Field(description="the pictures above; the last one is repeated")],
    source_alpha: Annotated[Mask, Field(description="1 where the source is transparent")],
    destination: Annotated[Image, Field(description="the pictures below; the result has their size")],
    destination_alpha: Annotated[Mask, Field(description="1 where the destination is transparent")],
    mode: Annotated[PorterDuffMode, Field(description="the operator")] = "src_over",
) -> Transparent:
    """Composite two partly transparent pictures.

    The operators are those of Porter and Duff (SIGGRAPH 1984) and the blends of Android's ``PorterDuff.Mode``.

    Raises:
        InvalidInputError: A batch is empty.
    """
    from graphflow.pixels import alpha

    for tensor in (source.pixels, source_alpha.values, destination_alpha.values):
        require_items(tensor, destination.pixels.shape[0])
    given = (source.pixels, source_alpha.values, destination.pixels, destination_alpha.values)
    pixels, values = alpha.porter_duff(*given, alpha.PORTER_DUFF[mode])
    return Transparent(replace(destination, pixels=pixels), Mask(values=values))
