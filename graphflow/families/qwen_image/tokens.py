"""Qwen-Image's latents as tokens."""

from __future__ import annotations

import math

from torch import Tensor

from graphflow.families.flow.patches import pack, whole_patches


def tokens_of(latent: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """Tokens (B, n, 4 C) of latents (B, C, frames, h, w), or (B, C, h, w) of one frame, and (frames, rows, columns)."""
    frames = latent.unsqueeze(2) if latent.dim() == 4 else latent
    planes = whole_patches(frames.transpose(1, 2).flatten(0, 1))
    shape = (frames.shape[2], planes.shape[-2] // 2, planes.shape[-1] // 2)
    return pack(planes).reshape(len(latent), math.prod(shape), -1), shape
