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
    gain: float = 1.0,
) -> Tensor:
    """Change gamma, gain, contrast, brightness, then saturation; alpha stays."""
    color = (images[:, :3].clamp(0, 1) ** (1 / gamma) * gain).clamp(0, 1)
    color = ((color - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
    grey = luma(color)
    color = (grey + (color - grey) * saturation).clamp(0, 1)
    return torch.cat([color, images[:, 3:]], dim=1)


def shift_hsv(
    images: Tensor, hue: float = 0.0, saturation: float = 0.0, value: float = 0.0
) -> Tensor:
    """Turn the hue, and add to saturation and value (Smith 1978); alpha stays."""
    color = images[:, :3]
    high, low = color.amax(1), color.amin(1)
    spread = high - low
    red, green, blue = color.unbind(1)
    safe = spread.clamp(min=1e-9)
    sixth = torch.where(high == blue, (red - green) / safe + 4, (blue - red) / safe + 2)
    sixth = torch.where(high == red, (green - blue) / safe, sixth) + hue / 60
    strength = spread / high.clamp(min=1e-9)
    strength = torch.where(spread > 0, (strength + saturation).clamp(0, 1), strength)
    bright = (high + value).clamp(0, 1)
    planes = []
    for offset in (5.0, 3.0, 1.0):
        place = (offset + sixth) % 6
        part = torch.minimum(place, 4 - place).clamp(0, 1)
        planes.append(bright * (1 - strength * part))
    return torch.cat([torch.stack(planes, dim=1), images[:, 3:]], dim=1)


def color_gradient(
    width: int = 512,
    height: int = 512,
    start: str = "#ffffff",
    end: str = "#000000",
    degrees: float = 90.0,
) -> Tensor:
    """A picture (1, 3, height, width) that fades from one colour into another.

    The line of the gradient ends where its perpendiculars go through the corners (CSS
    Images Level 3, linear-gradient): 0 degrees goes up, 90 to the right.
    """
    angle = torch.tensor(degrees).deg2rad()
    sin, cos = angle.sin(), angle.cos()
    across = torch.arange(width) + 0.5 - width / 2
    down = (torch.arange(height) + 0.5 - height / 2)[:, None]
    share = (across * sin - down * cos) / (abs(width * sin) + abs(height * cos)) + 0.5
    first, last = (torch.tensor(rgb(color)).reshape(3, 1, 1) for color in (start, end))
    return (first + (last - first) * share.clamp(0, 1))[None]


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
