"""The fourth channel of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def with_channels(pixels: torch.Tensor, channels: int) -> torch.Tensor:
    """Return pictures (B, 3 or 4, H, W) with three or four channels; alpha that is new is opaque."""
    import torch

    if pixels.shape[1] >= channels:
        return pixels[:, :channels]
    return torch.cat([pixels, torch.ones_like(pixels[:, :1])], dim=1)
