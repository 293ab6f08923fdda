"""Pictures as CLIP's image encoders get them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Crop = Literal["center", "none"]
"""How a picture becomes square: its middle is cut out, or it is stretched."""


def square_pixels(
    pixels: Tensor, size: int, crop: Crop, mean: tuple[float, ...] = CLIP_MEAN, std: tuple[float, ...] = CLIP_STD
) -> Tensor:
    """Pictures as ComfyUI's CLIPVisionEncode has image encoders see them: bicubic, antialiased, rounded to bytes.

    Args:
        pixels: (B, 3 or more, H, W) in [0, 1].
        size: Edge of the square in pixels.
        crop: How they become square.
        mean: Means of the channels.
        std: Their standard deviations.

    Returns:
        (B, 3, size, size).
    """
    pixels = pixels[:, :3].float()
    height, width = pixels.shape[-2:]
    if (height, width) != (size, size):
        scale = size / min(height, width)
        edges = (round(scale * height), round(scale * width))
        if crop == "none":
            edges = (size, size)
        pixels = functional.interpolate(pixels, edges, mode="bicubic", antialias=True)
        top, left = ((edge - size) // 2 for edge in edges)
        pixels = pixels[..., top : top + size, left : left + size]
    pixels = (pixels * 255).clamp(0, 255).round() / 255
    middle, spread = (pixels.new_tensor(told)[:, None, None] for told in (mean, std))
    return (pixels - middle) / spread


def seen_pixels(encoder: Any, pixels: Tensor, crop: Crop) -> Tensor:
    """Pictures (B, 3 or more, H, W) in [0, 1] as ComfyUI has an image encoder see them, in its dtype.

    Args:
        encoder: A transformers `CLIPVisionModelWithProjection` or `SiglipVisionModel`.
        pixels: The pictures.
        crop: How they become square.
    """
    clip = hasattr(encoder, "visual_projection")
    told = (CLIP_MEAN, CLIP_STD) if clip else ((0.5,) * 3, (0.5,) * 3)
    square = square_pixels(pixels, int(encoder.config.image_size), crop, *told)
    return square.to(encoder.device, encoder.dtype)


def clip_pixels(
    pixels: Tensor, size: int, mean: tuple[float, ...] = CLIP_MEAN, std: tuple[float, ...] = CLIP_STD
) -> Tensor:
    """CLIP's preparation: the shorter edge to `size`, bicubic, the middle square, normalised.

    Args:
        pixels: (B, 3 or more, H, W) in [0, 1].
        size: Edge of the square in pixels.
        mean: Means of the channels.
        std: Their standard deviations.

    Returns:
        (B, 3, size, size).
    """
    return torch.stack([clip_square(item, size, mean, std) for item in pixels[:, :3]])


def clip_square(
    item: Tensor, size: int, mean: tuple[float, ...] = CLIP_MEAN, std: tuple[float, ...] = CLIP_STD
) -> Tensor:
    """One picture (3, H, W) as CLIP reads it, (3, size, size)."""
    data = (item.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    picture = Image.fromarray(data.cpu().numpy())
    edges = [int(size * edge / min(picture.size)) for edge in picture.size]
    left, top = ((edge - size) // 2 for edge in edges)
    resized = picture.resize(edges, Image.Resampling.BICUBIC)
    square = np.asarray(resized.crop((left, top, left + size, top + size)))
    pixels = torch.from_numpy(square.astype(np.float32)) / 255
    normal = (pixels - torch.tensor(mean)) / torch.tensor(std)
    return normal.permute(2, 0, 1)
