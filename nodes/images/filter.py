"""Nodes that filter pictures: blur, sharpen, morphology, fewer colours, noise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from graphflow.pixels.filters import dilate, erode, gaussian_blur
from graphflow.spec.decorator import Seed, node
from graphflow.values import Image

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["add_image_noise", "blur_image", "morphology", "quantize_image", "sharpen_image"]

Pictures = Annotated[Image, Field(description="the pictures")]
Radius = Annotated[int, Field(ge=1, le=512, description="pixels around each that count")]
Sigma = Annotated[float, Field(ge=0.1, le=10, description="spread of the Gaussian weights, in units of the radius")]


@node("blur_image", map=True)
def blur_image(images: Pictures, radius: Radius = 1, sigma: Sigma = 1.0) -> Image:
    """Blur pictures with Gaussian weights over (2 radius + 1) x (2 radius + 1) pixels.

    Raises:
        InvalidInputError: The pictures are not larger than the radius.
    """
    return replace(images, pixels=gaussian_blur(images.pixels, radius, sigma).clamp(0, 1))


@node("sharpen_image", map=True)
def sharpen_image(
    images: Pictures,
    radius: Radius = 1,
    sigma: Sigma = 1.0,
    strength: Annotated[float, Field(ge=0, le=50, description="factor on what blurring takes away")] = 1.0,
) -> Image:
    """Sharpen pictures with an unsharp mask: image + strength * (image - blurred).

    Raises:
        InvalidInputError: The pictures are not larger than the radius.
    """
    blurred = gaussian_blur(images.pixels, radius, sigma)
    return replace(images, pixels=(images.pixels + strength * (images.pixels - blurred)).clamp(0, 1))


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
    pixels = images.pixels
    match operation:
        case "erode":
            result = erode(pixels, size, size)
        case "dilate":
            result = dilate(pixels, size, size)
        case "open":
            result = dilate(erode(pixels, size, size), size, size)
        case "close":
            result = erode(dilate(pixels, size, size), size, size)
        case "gradient":
            result = dilate(pixels, size, size) - erode(pixels, size, size)
        case "top_hat":
            result = pixels - dilate(erode(pixels, size, size), size, size)
        case "bottom_hat":
            result = erode(dilate(pixels, size, size), size, size) - pixels
    return replace(images, pixels=result.clamp(0, 1))


@node("quantize_image", map=True)
def quantize_image(
    images: Pictures,
    colors: Annotated[int, Field(ge=2, le=256, description="how many colours")] = 256,
    dither: Annotated[
        Literal["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"],
        Field(description="how missing colours are imitated: error diffusion, or an ordered pattern of 2 to 16 pixels"),
    ] = "none",
) -> Image:
    """Reduce pictures to a palette of few colours, chosen by median cut (Heckbert 1982); alpha is left out."""
    import numpy as np
    import torch

    if not images.pixels.shape[0]:
        return replace(images, pixels=images.pixels[:, :3])
    reduced = [
        np.asarray(_quantized(item, colors, dither).convert("RGB"), dtype=np.float32) / 255
        for item in (images.pixels[:, :3].clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    ]
    return replace(images, pixels=torch.from_numpy(np.stack(reduced)).permute(0, 3, 1, 2).contiguous())


@node("add_image_noise")
def add_image_noise(
    images: Pictures,
    seed: Seed = 0,
    strength: Annotated[float, Field(ge=0, le=1, description="standard deviation of the noise")] = 0.5,
) -> Image:
    """Add Gaussian noise to pictures: one draw of shape (B, H, W, C) on the CPU for the whole batch."""
    import torch

    batch, channels, height, width = images.pixels.shape
    noise = torch.randn((batch, height, width, channels), generator=torch.Generator("cpu").manual_seed(seed))
    return replace(images, pixels=(images.pixels + strength * noise.permute(0, 3, 1, 2)).clamp(0, 1))


def bayer(size: int) -> torch.Tensor:
    """The ordered-dither matrix of a power of two (Bayer 1973), values from 0 to below 1."""
    import torch

    matrix = torch.zeros(1, 1)
    while matrix.shape[0] < size:
        matrix = torch.cat(
            [torch.cat([4 * matrix, 4 * matrix + 2], 1), torch.cat([4 * matrix + 3, 4 * matrix + 1], 1)], 0
        )
    return matrix / size**2


def _quantized(array: np.ndarray[Any, Any], colors: int, dither: str) -> Any:
    import numpy as np
    import PIL.Image

    picture = PIL.Image.fromarray(array)
    palette = picture.quantize(colors)
    if dither == "none":
        return palette
    if dither == "floyd-steinberg":
        return picture.quantize(colors, palette=palette, dither=PIL.Image.Dither.FLOYDSTEINBERG)
    order = int(dither.removeprefix("bayer-"))
    pattern = bayer(order).numpy() - 0.5
    height, width = array.shape[:2]
    tiled = np.tile(pattern, (-(-height // order), -(-width // order)))[:height, :width, None]
    shifted = np.clip(array + tiled * (2 * 256 / colors), 0, 255).astype(np.uint8)
    return PIL.Image.fromarray(shifted).quantize(colors, palette=palette, dither=PIL.Image.Dither.NONE)
