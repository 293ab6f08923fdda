"""Nodes that change the colours of pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import Image

from ..masks.make import LUMA

if TYPE_CHECKING:
    import torch

__all__ = ["adjust_image", "invert_image", "match_colors", "rgb_to_yuv", "yuv_to_rgb"]

Pictures = Annotated[Image, Field(description="the pictures")]


class Yuv(NamedTuple):
    """Brightness and two colour differences, each as a grey picture."""

    y: Annotated[Image, Field(description="brightness")]
    u: Annotated[Image, Field(description="blue minus brightness, 0.5 is none")]
    v: Annotated[Image, Field(description="red minus brightness, 0.5 is none")]


@node("invert_image", map=True)
def invert_image(images: Pictures) -> Image:
    """Make negatives of pictures: 1 - colour; alpha stays."""
    import torch

    return replace(images, pixels=torch.cat([1 - images.pixels[:, :3], images.pixels[:, 3:]], dim=1))


@node("adjust_image", map=True)
def adjust_image(
    images: Pictures,
    brightness: Annotated[float, Field(ge=-1, le=1, description="is added")] = 0.0,
    contrast: Annotated[float, Field(ge=0, le=10, description="factor on the distance from middle grey")] = 1.0,
    saturation: Annotated[float, Field(ge=0, le=10, description="factor on the distance from the pixel's grey")] = 1.0,
    gamma: Annotated[
        float, Field(gt=0, le=10, description="colours become colour ** (1 / gamma): above 1 brightens")
    ] = 1.0,
) -> Image:
    """Change gamma, then contrast, then brightness, then saturation of pictures; alpha stays."""
    import torch

    color = images.pixels[:, :3].clamp(0, 1) ** (1 / gamma)
    color = ((color - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
    grey = _luma(color)
    color = (grey + (color - grey) * saturation).clamp(0, 1)
    return replace(images, pixels=torch.cat([color, images.pixels[:, 3:]], dim=1))


@node("match_colors")
def match_colors(
    images: Pictures,
    reference: Annotated[Image, Field(description="the picture whose colours to take; the first one of a batch")],
    strength: Annotated[float, Field(ge=0, le=1, description="0 changes nothing, 1 takes the colours over")] = 1.0,
) -> Image:
    """Give pictures the mean and spread of a reference's colours (Reinhard et al. 2001), in YCbCr; alpha stays.

    Raises:
        InvalidInputError: There is no reference picture.
    """
    import torch

    if not reference.pixels.shape[0]:
        raise InvalidInputError("the batch is empty", where="reference")
    if not images.pixels.shape[0]:
        return images
    own, other = _to_ycbcr(images.pixels[:, :3]), _to_ycbcr(reference.pixels[:1, :3])
    axes = (2, 3)
    mean, spread = own.mean(axes, keepdim=True), own.std(axes, keepdim=True, unbiased=False)
    wanted, wanted_spread = other.mean(axes, keepdim=True), other.std(axes, keepdim=True, unbiased=False)
    moved = _to_rgb((own - mean) * (wanted_spread / spread.clamp(min=1e-6)) + wanted)
    color = (images.pixels[:, :3] * (1 - strength) + moved * strength).clamp(0, 1)
    return replace(images, pixels=torch.cat([color, images.pixels[:, 3:]], dim=1))


@node("rgb_to_yuv", map=True)
def rgb_to_yuv(images: Pictures) -> Yuv:
    """Take pictures apart into brightness and colour differences (YCbCr of JPEG, ITU-R BT.601, full range)."""
    planes = _to_ycbcr(images.pixels[:, :3]).clamp(0, 1)
    y, u, v = (replace(images, pixels=planes[:, i : i + 1].expand(-1, 3, -1, -1).clone()) for i in range(3))
    return Yuv(y, u, v)


@node("yuv_to_rgb")
def yuv_to_rgb(
    y: Annotated[Image, Field(description="brightness")],
    u: Annotated[Image, Field(description="blue minus brightness, 0.5 is none")],
    v: Annotated[Image, Field(description="red minus brightness, 0.5 is none")],
) -> Image:
    """Put pictures together from brightness and colour differences, the means of the channels of each.

    Raises:
        InvalidInputError: The sizes differ.
    """
    import torch

    if y.pixels.shape[2:] != u.pixels.shape[2:] or y.pixels.shape[2:] != v.pixels.shape[2:]:
        raise InvalidInputError("brightness and colour differences have different sizes", advice="resize them first")
    if not y.pixels.shape[0] == u.pixels.shape[0] == v.pixels.shape[0]:
        raise InvalidInputError("brightness and colour differences are of different numbers")
    planes = torch.cat([part.pixels[:, :3].mean(dim=1, keepdim=True) for part in (y, u, v)], dim=1)
    return replace(y, pixels=_to_rgb(planes).clamp(0, 1))


def _luma(color: torch.Tensor) -> torch.Tensor:
    import torch

    return (color * torch.tensor(LUMA).reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _to_ycbcr(color: torch.Tensor) -> torch.Tensor:
    import torch

    y = _luma(color)
    return torch.cat([y, (color[:, 2:3] - y) * 0.564 + 0.5, (color[:, 0:1] - y) * 0.713 + 0.5], dim=1)


def _to_rgb(planes: torch.Tensor) -> torch.Tensor:
    import torch

    y, cb, cr = planes[:, 0:1], planes[:, 1:2] - 0.5, planes[:, 2:3] - 0.5
    return torch.cat([y + 1.403 * cr, y - 0.714 * cr - 0.344 * cb, y + 1.773 * cb], dim=1)
