"""Filters on (B, C, H, W): blur, sharpen, morphology, fewer colours, noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional


def gaussian_weights(radius: int, sigma: float) -> Tensor:
    """Gaussian weights of 2 * radius + 1 samples that sum to 1; sigma is in radii."""
    place = torch.linspace(-1, 1, 2 * radius + 1)
    weights = (-(place**2) / (2 * sigma**2)).exp()
    return weights / weights.sum()


def gaussian_blur(tensor: Tensor, radius: int, sigma: float) -> Tensor:
    """Average each sample with its neighbours by Gaussian weights; edges are mirrored.

    The edges must be longer than the radius.
    """
    if not tensor.shape[0]:
        return tensor
    weights = gaussian_weights(radius, sigma).to(tensor.device, tensor.dtype)
    planes = tensor.reshape(-1, 1, *tensor.shape[-2:])
    padded = functional.pad(planes, (radius,) * 4, mode="reflect")
    rows = functional.conv2d(padded, weights.reshape(1, 1, 1, -1))
    blurred = functional.conv2d(rows, weights.reshape(1, 1, -1, 1))
    return blurred.reshape(tensor.shape)


def blur_image(images: Tensor, radius: int = 1, sigma: float = 1.0) -> Tensor:
    """Blur pictures with Gaussian weights over (2 radius + 1) x (2 radius + 1) pixels."""
    return gaussian_blur(images, radius, sigma).clamp(0, 1)


def sharpen_image(
    images: Tensor, radius: int = 1, sigma: float = 1.0, strength: float = 1.0
) -> Tensor:
    """Sharpen pictures with an unsharp mask: image + strength * (image - blurred)."""
    blurred = gaussian_blur(images, radius, sigma)
    return (images + strength * (images - blurred)).clamp(0, 1)


def dilate(tensor: Tensor, height: int, width: int) -> Tensor:
    """The largest value within a window around each sample; outside nothing counts.

    An even window reaches one sample further up and left.
    """
    if not tensor.shape[0]:
        return tensor
    top, left = height // 2, width // 2
    margins = (left, width - 1 - left, top, height - 1 - top)
    padded = functional.pad(tensor, margins, value=float("-inf"))
    # A row and then a column are as good as the rectangle, and much cheaper.
    rows = functional.max_pool2d(padded, (1, width), stride=1)
    return functional.max_pool2d(rows, (height, 1), stride=1)


def erode(tensor: Tensor, height: int, width: int) -> Tensor:
    """The smallest value within a window around each sample."""
    return -dilate(-tensor, height, width)


def dilate_image(images: Tensor, size: int = 3) -> Tensor:
    """Brighten: the largest value within a square (Serra 1982)."""
    return dilate(images, size, size).clamp(0, 1)


def erode_image(images: Tensor, size: int = 3) -> Tensor:
    """Darken: the smallest value within a square (Serra 1982)."""
    return erode(images, size, size).clamp(0, 1)


def open_image(images: Tensor, size: int = 3) -> Tensor:
    """Erode, then dilate (Serra 1982)."""
    return dilate(erode(images, size, size), size, size).clamp(0, 1)


def close_image(images: Tensor, size: int = 3) -> Tensor:
    """Dilate, then erode (Serra 1982)."""
    return erode(dilate(images, size, size), size, size).clamp(0, 1)


def gradient_image(images: Tensor, size: int = 3) -> Tensor:
    """Dilated minus eroded (Serra 1982)."""
    return (dilate(images, size, size) - erode(images, size, size)).clamp(0, 1)


def top_hat_image(images: Tensor, size: int = 3) -> Tensor:
    """What opening takes away (Serra 1982)."""
    return (images - dilate(erode(images, size, size), size, size)).clamp(0, 1)


def bottom_hat_image(images: Tensor, size: int = 3) -> Tensor:
    """What closing adds (Serra 1982)."""
    return (erode(dilate(images, size, size), size, size) - images).clamp(0, 1)


MORPHOLOGY: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        "erode": erode_image,
        "dilate": dilate_image,
        "open": open_image,
        "close": close_image,
        "gradient": gradient_image,
        "top_hat": top_hat_image,
        "bottom_hat": bottom_hat_image,
    }
)
"""Grey morphology with a square, channel by channel, by name."""


def quantize_image(images: Tensor, colors: int = 256) -> Tensor:
    """Reduce pictures to a palette of few colours, chosen by median cut (Heckbert 1982)."""
    return each_reduced(images, lambda picture: picture.quantize(colors))


def quantize_with_diffusion(images: Tensor, colors: int = 256) -> Tensor:
    """The same with missing colours imitated by diffusion (Floyd and Steinberg 1976)."""

    def reduce(picture: Any) -> Any:
        floyd_steinberg = Image.Dither.FLOYDSTEINBERG
        palette = picture.quantize(colors)
        return picture.quantize(colors, palette=palette, dither=floyd_steinberg)

    return each_reduced(images, reduce)


def quantize_in_pattern(images: Tensor, colors: int, order: int) -> Tensor:
    """The same with missing colours imitated by an ordered pattern of `order` pixels."""
    pattern = bayer(order).numpy() - 0.5

    def reduce(picture: Any) -> Any:
        array = np.asarray(picture)
        height, width = array.shape[:2]
        tiles = np.tile(pattern, (-(-height // order), -(-width // order)))
        shift = tiles[:height, :width, None] * (2 * 256 / colors)
        moved = Image.fromarray(np.clip(array + shift, 0, 255).astype(np.uint8))
        palette = picture.quantize(colors)
        return moved.quantize(colors, palette=palette, dither=Image.Dither.NONE)

    return each_reduced(images, reduce)


def quantize_in_pattern_of_2(images: Tensor, colors: int = 256) -> Tensor:
    """Reduce pictures to few colours with an ordered pattern of 2 x 2 pixels."""
    return quantize_in_pattern(images, colors, 2)


def quantize_in_pattern_of_4(images: Tensor, colors: int = 256) -> Tensor:
    """Reduce pictures to few colours with an ordered pattern of 4 x 4 pixels."""
    return quantize_in_pattern(images, colors, 4)


def quantize_in_pattern_of_8(images: Tensor, colors: int = 256) -> Tensor:
    """Reduce pictures to few colours with an ordered pattern of 8 x 8 pixels."""
    return quantize_in_pattern(images, colors, 8)


def quantize_in_pattern_of_16(images: Tensor, colors: int = 256) -> Tensor:
    """Reduce pictures to few colours with an ordered pattern of 16 x 16 pixels."""
    return quantize_in_pattern(images, colors, 16)


DITHERS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        "none": quantize_image,
        "floyd-steinberg": quantize_with_diffusion,
        "bayer-2": quantize_in_pattern_of_2,
        "bayer-4": quantize_in_pattern_of_4,
        "bayer-8": quantize_in_pattern_of_8,
        "bayer-16": quantize_in_pattern_of_16,
    }
)
"""By the names that nodes call them by."""


def each_reduced(images: Tensor, reduce: Callable[[Any], Any]) -> Tensor:
    """Pictures with 8 bits a channel, changed one by one; alpha is left out."""
    if not images.shape[0]:
        return images[:, :3]
    arrays = (images[:, :3].clamp(0, 1) * 255).round().to(torch.uint8)
    reduced = [
        np.asarray(reduce(Image.fromarray(array)).convert("RGB"), dtype=np.float32)
        for array in arrays.permute(0, 2, 3, 1).numpy()
    ]
    return torch.from_numpy(np.stack(reduced) / 255).permute(0, 3, 1, 2).contiguous()


def bayer(size: int) -> Tensor:
    """The ordered-dither matrix of a power of two (Bayer 1973), from 0 to below 1."""
    matrix = torch.zeros(1, 1)
    while matrix.shape[0] < size:
        upper = torch.cat([4 * matrix, 4 * matrix + 2], 1)
        lower = torch.cat([4 * matrix + 3, 4 * matrix + 1], 1)
        matrix = torch.cat([upper, lower], 0)
    return matrix / size**2


def add_image_noise(images: Tensor, seed: int = 0, strength: float = 0.5) -> Tensor:
    """Add Gaussian noise to pictures: one draw (B, H, W, C) on the CPU for all of them."""
    batch, channels, height, width = images.shape
    generator = torch.Generator("cpu").manual_seed(seed)
    noise = torch.randn((batch, height, width, channels), generator=generator)
    return (images + strength * noise.permute(0, 3, 1, 2)).clamp(0, 1)
