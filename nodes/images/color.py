"""Nodes that change the colours of pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import Image

from ..choices import Pictures

__all__ = ["adjust_image", "invert_image", "match_colors", "rgb_to_yuv", "shift_hsv", "yuv_to_rgb"]


class Yuv(NamedTuple):
    """Brightness and two colour differences, each as a grey picture."""

    y: Annotated[Image, Field(description="brightness")]
    u: Annotated[Image, Field(description="blue minus brightness, 0.5 is none")]
    v: Annotated[Image, Field(description="red minus brightness, 0.5 is none")]


@node("invert_image", map=True)
def invert_image(images: Pictures) -> Image:
    """Make negatives of pictures: 1 - colour; alpha stays."""
    from graphflow.pixels import colors

    return replace(images, pixels=colors.invert_image(images.pixels))


@node("adjust_image", map=True)
def adjust_image(
    images: Pictures,
    brightness: Annotated[float, Field(ge=-1, le=1, description="is added")] = 0.0,
    contrast: Annotated[float, Field(ge=0, le=10, description="factor on the distance from middle grey")] = 1.0,
    saturation: Annotated[float, Field(ge=0, le=10, description="factor on the distance from the pixel's grey")] = 1.0,
    gamma: Annotated[
        float, Field(gt=0, le=10, description="colours become colour ** (1 / gamma): above 1 brightens")
    ] = 1.0,
    gain: Annotated[float, Field(ge=0, le=100, description="factor on the colours, behind gamma")] = 1.0,
) -> Image:
    """Change gamma, then gain, contrast, brightness and saturation of pictures; alpha stays."""
    from graphflow.pixels import colors

    pixels = colors.adjust_image(images.pixels, brightness, contrast, saturation, gamma, gain)
    return replace(images, pixels=pixels)


@node("shift_hsv", map=True)
def shift_hsv(
    images: Pictures,
    hue: Annotated[float, Field(ge=-360, le=360, description="degrees by which the hue is turned")] = 0.0,
    saturation: Annotated[float, Field(ge=-1, le=1, description="is added; greys stay grey")] = 0.0,
    value: Annotated[float, Field(ge=-1, le=1, description="is added to the largest channel")] = 0.0,
) -> Image:
    """Turn the hue of pictures, and change saturation and value (HSV; Smith, SIGGRAPH 1978); alpha stays."""
    from graphflow.pixels import colors

    return replace(images, pixels=colors.shift_hsv(images.pixels, hue, saturation, value))


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
    from graphflow.pixels import colors

    if not reference.pixels.shape[0]:
        raise InvalidInputError("the batch is empty", where="reference")
    return replace(images, pixels=colors.match_colors(images.pixels, reference.pixels, strength))


@node("rgb_to_yuv", map=True)
def rgb_to_yuv(images: Pictures) -> Yuv:
    """Take pictures apart into brightness and colour differences (YCbCr of JPEG, ITU-R BT.601, full range)."""
    from graphflow.pixels import colors

    y, u, v = (replace(images, pixels=plane) for plane in colors.rgb_to_yuv(images.pixels))
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
    from graphflow.pixels import colors

    if y.pixels.shape[2:] != u.pixels.shape[2:] or y.pixels.shape[2:] != v.pixels.shape[2:]:
        raise InvalidInputError("brightness and colour differences have different sizes", advice="resize them first")
    if not y.pixels.shape[0] == u.pixels.shape[0] == v.pixels.shape[0]:
        raise InvalidInputError("brightness and colour differences are of different numbers")
    return replace(y, pixels=colors.yuv_to_rgb(y.pixels, u.pixels, v.pixels))
