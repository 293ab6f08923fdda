"""Nodes that filter pictures: blur, sharpen, morphology, fewer colours, noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from graphflow.spec.decorator import Seed, node
from graphflow.values import Image

from ..choices import Pictures, Sharpness, Spread
from .checks import require_radius

__all__ = ["add_image_noise", "blur_image", "morphology", "quantize_image", "sharpen_image"]

Radius = Annotated[int, Field(ge=1, le=512, description="pixels around each that count")]


@node("blur_image", map=True)
def blur_image(images: Pictures, radius: Radius = 1, sigma: Spread = 1.0) -> Image:
    """Blur pictures with Gaussian weights over (2 radius + 1) x (2 radius + 1) pixels.

    Raises:
        InvalidInputError: The pictures are not larger than the radius.
    """
    from graphflow.pixels import filters

    require_radius(radius, images.pixels)
    return replace(images, pixels=filters.blur_image(images.pixels, radius, sigma))


@node("sharpen_image", map=True)
def sharpen_image(
    images: Pictures,
    radius: Radius = 1,
    sigma: Spread = 1.0,
    strength: Sharpness = 1.0,
) -> Image:
    """Sharpen pictures with an unsharp mask: image + strength * (image - blurred).

    Raises:
        InvalidInputError: The pictures are not larger than the radius.
    """
    from graphflow.pixels import filters

    require_radius(radius, images.pixels)
    return replace(images, pixels=filters.sharpen_image(images.pixels, radius, sigma, strength))


@node("morphology", map=True)
def morphology(
    images: Pictures,
    operation: Annotated[
        Literal["erode", "dilate", "open", "close", "gradient", "top_hat", "bottom_hat"],
        Field(description="erode darkens, dilate brightens; the others combine them"),
    ] = "dilate",
    size: Annotated[int, Field(ge=2, le=999, description="edge of the square of pixels that counts")] = 3,
) -> Image:
    """Grey morphology of pictures with a square, channel by channel (Serra 1982).

    ``open`` erodes then dilates, ``close`` dilates then erodes, ``gradient`` is dilated minus eroded, ``top_hat`` the
    picture minus its opening, ``bottom_hat`` its closing minus the picture.
    """
    from graphflow.pixels.filters import MORPHOLOGY

    return replace(images, pixels=MORPHOLOGY[operation](images.pixels, size))


@node("quantize_image", map=True)
def quantize_image(
    images: Pictures,
    colors: Annotated[int, Field(ge=1, le=256, description="how many colours")] = 256,
    dither: Annotated[
        Literal["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"],
        Field(description="how missing colours are imitated: error diffusion, or an ordered pattern of 2 to 16 pixels"),
    ] = "none",
) -> Image:
    """Reduce pictures to a palette of few colours, chosen by median cut (Heckbert 1982); alpha is left out."""
    from graphflow.pixels.filters import DITHERS

    return replace(images, pixels=DITHERS[dither](images.pixels, colors))


@node("add_image_noise")
def add_image_noise(
    images: Pictures,
    seed: Seed = 0,
    strength: Annotated[float, Field(ge=0, le=1, description="standard deviation of the noise")] = 0.5,
) -> Image:
    """Add Gaussian noise to pictures: one draw of shape (B, H, W, C) on the CPU for the whole batch."""
    from graphflow.pixels import filters

    return replace(images, pixels=filters.add_image_noise(images.pixels, seed, strength))
