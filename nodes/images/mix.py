"""Nodes that put pictures over one another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.pixels.batching import cycle_to
from graphflow.pixels.channels import with_channels
from graphflow.pixels.pasting import paste
from graphflow.pixels.resampling import resample
from graphflow.spec.decorator import node
from graphflow.values import Image, Mask

from ..sampling.choices import Offset

if TYPE_CHECKING:
    import torch

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
    pixels = paste(
        destination.pixels,
        with_channels(source.pixels, destination.pixels.shape[1]),
        None if mask is None else mask.values,
        x=x,
        y=y,
        feather=feather,
        resize_source=resize_source,
    )
    return replace(destination, pixels=pixels.clamp(0, 1))


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
    import torch

    a = first.pixels[:, :3]
    height, width = a.shape[-2:]
    b = cycle_to(resample(second.pixels[:, :3], (height, width), "bicubic", "center").clamp(0, 1), a.shape[0])
    mixed = (a * (1 - factor) + _blended(a, b, mode) * factor).clamp(0, 1)
    return replace(first, pixels=torch.cat([mixed, first.pixels[:, 3:]], dim=1))


def _blended(a: torch.Tensor, b: torch.Tensor, mode: BlendMode) -> torch.Tensor:
    import torch

    match mode:
        case "normal":
            return b
        case "multiply":
            return a * b
        case "screen":
            return 1 - (1 - a) * (1 - b)
        case "overlay":
            return torch.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b))
        case "soft_light":
            bright = torch.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, a.sqrt())
            return torch.where(b <= 0.5, a - (1 - 2 * b) * a * (1 - a), a + (2 * b - 1) * (bright - a))
        case "difference":
            return (a - b).abs()
        case "subtract":
            return a - b
    raise InvalidInputError(f"there is no mode {mode!r}", where="mode")
