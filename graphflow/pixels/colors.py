"""Colours of pictures (B, 3 or 4, H, W) in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


def rgb(color: str) -> list[float]:
    """Red, green and blue in [0, 1] of ``#rrggbb``."""
    return [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def filled(color: str, batch: int, channels: int, height: int, width: int) -> Tensor:
    """Pictures (B, 3 or 4, H, W) of one colour; a fourth channel is opaque."""
    values = torch.tensor([*rgb(color), 1.0][:channels]).reshape(1, channels, 1, 1)
    return values.expand(batch, channels, height, width).clone()


def solid_image(
    width: int = 512, height: int = 512, batch_size: int = 1, color: str = "#000000"
) -> Tensor:
    """Make pictures (batch_size, 3, height, width) of one colour."""
    return filled(color, batch_size, 3, height, width)


def invert_image(images: Tensor) -> Tensor:
    """Make negatives of pictures: 1 - colour; alpha stays."""
    return torch.cat([1 - images[:, :3], images[:, 3:]], dim=1)


def adjust_image(
    images: Tensor,
    brightness: float = 0.0,
    contrast: float = 1.0,
    saturation: float = 1.0,
    gamma: float = 1.0,
) -> Tensor:
    """Change gamma, contrast, brightness, then saturation of pictures; alpha stays."""
    color = images[:, :3].clamp(0, 1) ** (1 / gamma)
    color = ((color - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
    grey = luma(color)
    color = (grey + (color - grey) * saturation).clamp(0, 1)
    return torch.cat([color, images[:, 3:]], dim=1)


def match_colors(images: Tensor, reference: Tensor, strength: float = 1.0) -> Tensor:
    """Give pictures the mean and spread of a reference's colours; alpha stays.

    Reinhard et al. 2001, in YCbCr.
    """
    if not images.shape[0]:
        return images
    own, other = rgb_to_ycbcr(images[:, :3]), rgb_to_ycbcr(reference[:1, :3])
    spread, wanted = (
        planes.std((2, 3), keepdim=True, unbiased=False) for planes in (own, other)
    )
    level = (own - own.mean((2, 3), keepdim=True)) * (wanted / spread.clamp(min=1e-6))
    moved = ycbcr_to_rgb(level + other.mean((2, 3), keepdim=True))
    color = (images[:, :3] * (1 - strength) + moved * strength).clamp(0, 1)
    return torch.cat([color, images[:, 3:]], dim=1)


def rgb_to_yuv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take pictures apart into brightness and colour differences (YCbCr of JPEG)."""
    planes = rgb_to_ycbcr(images[:, :3]).clamp(0, 1)
    y, u, v = (planes[:, i : i + 1].expand(-1, 3, -1, -1).clone() for i in range(3))
    return y, u, v


def yuv_to_rgb(y: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Put pictures together from brightness and colour differences as grey pictures."""
    planes = [part[:, :3].mean(dim=1, keepdim=True) for part in (y, u, v)]
    return ycbcr_to_rgb(torch.cat(planes, dim=1)).clamp(0, 1)


def luma(color: Tensor) -> Tensor:
    """Brightness of pictures, (B, 1, H, W)."""
    weights = torch.tensor(LUMA).reshape(1, 3, 1, 1)
    return (color * weights).sum(dim=1, keepdim=True)


def rgb_to_ycbcr(color: Tensor) -> Tensor:
    """Brightness and the differences of blue and red (ITU-R BT.601, full range)."""
    y = luma(color)
    blue, red = (color[:, 2:3] - y) * 0.564 + 0.5, (color[:, 0:1] - y) * 0.713 + 0.5
    return torch.cat([y, blue, red], dim=1)


def ycbcr_to_rgb(planes: Tensor) -> Tensor:
    """The way back."""
    y, cb, cr = planes[:, 0:1], planes[:, 1:2] - 0.5, planes[:, 2:3] - 0.5
    green = y - 0.714 * cr - 0.344 * cb
    return torch.cat([y + 1.403 * cr, green, y + 1.773 * cb], dim=1)
