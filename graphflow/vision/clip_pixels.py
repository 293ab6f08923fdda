"""Pictures as CLIP's image encoders get them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


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
    return torch.stack([_prepare(item, size, mean, std) for item in pixels[:, :3]])


def _prepare(item: Tensor, size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    data = (item.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(data)
    width, height = picture.size
    short = min(width, height)
    resized = picture.resize((int(size * width / short), int(size * height / short)), Image.Resampling.BICUBIC)
    left, top = (resized.width - size) // 2, (resized.height - size) // 2
    square = np.asarray(resized.crop((left, top, left + size, top + size)), dtype=np.float32) / 255.0
    normal = (torch.from_numpy(square) - torch.tensor(mean)) / torch.tensor(std)
    return normal.permute(2, 0, 1)
