"""Nodes that make pictures and give them another size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Image

from ..choices import Color, Crop, Edge, Offset, Pictures, Resampling
from ..plain.resolutions import PRESETS
from .checks import require_batch, require_color, require_size

__all__ = ["gradient_image", "image_size", "resize", "resize_and_pad", "resize_to_preset", "solid_image"]

if TYPE_CHECKING:
    Preset = str
else:
    Preset = Literal[tuple(PRESETS)]


class ImageSize(NamedTuple):
    """How large pictures are."""

    width: Annotated[int, Field(description="pixels")]
    height: Annotated[int, Field(description="pixels")]
    batch_size: Annotated[int, Field(description="how many there are")]


@node("solid_image")
def solid_image(
    width: Annotated[Edge, Field(description="pixels")] = 512,
    height: Annotated[Edge, Field(description="pixels")] = 512,
    batch_size: Annotated[int, Field(ge=1, le=LIMITS.batch, description="how many pictures")] = 1,
    color: Annotated[Color, Field(description="the colour, #rrggbb")] = "#000000",
) -> Image:
    """Make pictures (batch_size, 3, height, width) of one colour.

    Raises:
        LimitError: The picture is larger than the limits allow.
    """
    from graphflow.pixels import colors

    require_size(width, height)
    require_batch(batch_size, 3, height, width)
    require_color(color)
    return Image(pixels=colors.solid_image(width, height, batch_size, color))


@node("gradient_image")
def gradient_image(
    width: Annotated[Edge, Field(description="pixels")] = 512,
    height: Annotated[Edge, Field(description="pixels")] = 512,
    start: Annotated[Color, Field(description="the colour to begin with, #rrggbb")] = "#ffffff",
    end: Annotated[Color, Field(description="the colour to end with, #rrggbb")] = "#000000",
    degrees: Annotated[float, Field(ge=-360, le=360, description="where to: 0 is up, 90 to the right")] = 90.0,
) -> Image:
    """Make a picture (1, 3, height, width) that fades from one colour into another (CSS Images Level 3).

    Raises:
        LimitError: The picture is larger than the limits allow.
    """
    from graphflow.pixels import colors

    require_size(width, height)
    for color in (start, end):
        require_color(color)
    return Image(pixels=colors.color_gradient(width, height, start, end, degrees))


@node("image_size")
def image_size(images: Pictures) -> ImageSize:
    """Tell how large pictures are, as numbers that other nodes take."""
    batch, _, height, width = images.pixels.shape
    return ImageSize(width, height, batch)


@node("resize", version=2, map=True)
def resize(
    images: Pictures,
    width: Annotated[Offset, Field(description="pixels; 0 follows height or scale")] = 0,
    height: Annotated[Offset, Field(description="pixels; 0 follows width or scale")] = 0,
    scale: Annotated[float, Field(gt=0, le=64, description="factor on both edges, where nothing else is given")] = 1.0,
    megapixels: Annotated[
        float,
        Field(ge=0, le=256, description="area in units of 1024 x 1024 pixels, where no edge is given; 0 follows scale"),
    ] = 0.0,
    longest_edge: Annotated[
        Offset, Field(description="pixels of the longer edge, where width and height are 0; 0 follows megapixels")
    ] = 0,
    max_edge: Annotated[Offset, Field(description="shrink so that no edge is longer, in pixels; 0 is no bound")] = 0,
    multiple_of: Annotated[int, Field(ge=1, le=256, description="round both edges to a multiple of it")] = 1,
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
    from graphflow.pixels.resampling import resample
    from graphflow.pixels.sizes import target_size

    new_height, new_width = target_size(
        images.pixels.shape[-2:],
        width=width,
        height=height,
        scale=scale,
        megapixels=megapixels,
        longest_edge=longest_edge,
        max_edge=max_edge,
        multiple_of=multiple_of,
    )
    require_size(new_width, new_height)
    require_batch(*images.pixels.shape[:2], new_height, new_width)
    pixels = resample(images.pixels, (new_height, new_width), method, crop, antialias=antialias)
    return replace(images, pixels=pixels.clamp(0, 1))


@node("resize_to_preset", map=True)
def resize_to_preset(
    images: Pictures,
    # Documents rely on the default, so it is spelled out: the first preset would be another one with further families.
    preset: Annotated[Preset, Field(description="whose sizes: the ones that the model was trained with")] = "sdxl",
    method: Resampling = "lanczos",
    crop: Crop = "center",
) -> Image:
    """Change pictures to the size, of those that a model was trained with, whose shape is nearest to theirs."""
    from graphflow.pixels.resampling import resample
    from graphflow.pixels.sizes import nearest_shape

    size = nearest_shape(images.pixels.shape[-2:], PRESETS[preset])
    return replace(images, pixels=resample(images.pixels, size, method, crop).clamp(0, 1))


@node("resize_and_pad", map=True)
def resize_and_pad(
    images: Pictures,
    width: Annotated[Edge, Field(description="pixels")] = 512,
    height: Annotated[Edge, Field(description="pixels")] = 512,
    color: Annotated[Color, Field(description="the colour of the margins, #rrggbb")] = "#000000",
    method: Resampling = "area",
) -> Image:
    """Fit pictures into a size without changing their shape; margins of one colour fill the rest.

    Raises:
        LimitError: The result is larger than the limits allow.
    """
    from graphflow.pixels.resampling import resample
    from graphflow.pixels.shapes import fitted_size, paste_centred

    require_size(width, height)
    require_batch(*images.pixels.shape[:2], height, width)
    require_color(color)
    inner = fitted_size(images.pixels.shape[-2:], (height, width))
    resized = resample(images.pixels, inner, method).clamp(0, 1)
    return replace(images, pixels=paste_centred(resized, (height, width), color))
