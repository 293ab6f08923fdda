"""Nodes on transparency. In a mask 1 is transparent, in a picture's fourth channel 1 is opaque."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.pixels.batching import cycle_to
from graphflow.pixels.resampling import resample
from graphflow.spec.decorator import node
from graphflow.values import Image, Mask

if TYPE_CHECKING:
    import torch

__all__ = ["join_alpha", "porter_duff", "split_alpha"]

Pictures = Annotated[Image, Field(description="the pictures")]
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
    import torch

    alpha = (1 - _plane(mask, images)).clamp(0, 1)
    return replace(images, pixels=torch.cat([images.pixels[:, :3], alpha], dim=1))


@node("split_alpha", map=True)
def split_alpha(images: Pictures) -> Transparent:
    """Take pictures apart into colours and transparency; without an alpha channel nothing is transparent."""
    import torch

    pixels = images.pixels
    alpha = pixels[:, 3] if pixels.shape[1] == 4 else torch.ones_like(pixels[:, 0])
    return Transparent(replace(images, pixels=pixels[:, :3].clone()), Mask(values=1 - alpha))


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
    import torch

    height, width = destination.pixels.shape[-2:]
    count = destination.pixels.shape[0]
    src = cycle_to(resample(source.pixels[:, :3], (height, width), "bicubic", "center").clamp(0, 1), count)
    sa, da = 1 - _plane(source_alpha, destination), 1 - _plane(destination_alpha, destination)
    color, alpha = _composited(src * sa, sa, destination.pixels[:, :3] * da, da, mode)
    straight = torch.where(alpha > 1e-5, color / alpha, 0.0).clamp(0, 1)
    return Transparent(replace(destination, pixels=straight), Mask(values=(1 - alpha[:, 0]).clamp(0, 1)))


def _composited(
    s: torch.Tensor, sa: torch.Tensor, d: torch.Tensor, da: torch.Tensor, mode: PorterDuffMode
) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours multiplied by alpha, and alpha, of a source ``s`` and a destination ``d`` of the same kind."""
    import torch

    union = sa + da - sa * da
    both = s * (1 - da) + d * (1 - sa)
    match mode:
        case "add":
            return (s + d).clamp(max=1), (sa + da).clamp(max=1)
        case "clear":
            return torch.zeros_like(d), torch.zeros_like(da)
        case "darken":
            return both + torch.minimum(s, d), union
        case "lighten":
            return both + torch.maximum(s, d), union
        case "dst":
            return d, da
        case "dst_atop":
            return sa * d + s * (1 - da), sa
        case "dst_in":
            return d * sa, da * sa
        case "dst_out":
            return d * (1 - sa), da * (1 - sa)
        case "dst_over":
            return d + s * (1 - da), union
        case "multiply":
            return s * d, sa * da
        case "overlay":
            lit = torch.where(2 * d <= da, 2 * s * d, sa * da - 2 * (da - d) * (sa - s))
            return both + lit, union
        case "screen":
            return s + d - s * d, union
        case "src":
            return s, sa
        case "src_atop":
            return s * da + d * (1 - sa), da
        case "src_in":
            return s * da, sa * da
        case "src_out":
            return s * (1 - da), sa * (1 - da)
        case "src_over":
            return s + d * (1 - sa), union
        case "xor":
            return both, sa + da - 2 * sa * da
    raise InvalidInputError(f"there is no operator {mode!r}", where="mode")


def _plane(mask: Mask, images: Image) -> torch.Tensor:
    """The mask as (B, 1, H, W) of the pictures' size and number."""
    height, width = images.pixels.shape[-2:]
    return cycle_to(resample(mask.values[:, None], (height, width), "bilinear"), images.pixels.shape[0])
