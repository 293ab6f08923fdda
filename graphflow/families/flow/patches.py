"""Latents as the tokens of a transformer: patches of 2 x 2 samples, and where each of them stands."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def whole_patches(latent: Tensor, patch: int = 2) -> Tensor:
    """Continue latents (B, C, h, w) on the right and below, from the other side, until patches fill them."""
    height, width = latent.shape[-2:]
    beyond = 0, -width % patch, 0, -height % patch
    return functional.pad(latent, beyond, mode="circular")


def pack(latent: Tensor, patch: int = 2) -> Tensor:
    """From (B, C, h, w) with whole patches to tokens (B, h / p * w / p, C * p * p); a channel's samples stay together."""
    batch, channels, height, width = latent.shape
    rows, columns = height // patch, width // patch
    parts = latent.reshape(batch, channels, rows, patch, columns, patch)
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * patch * patch)


def unpack(tokens: Tensor, height: int, width: int, patch: int = 2) -> Tensor:
    """Undo :func:`pack` and :func:`whole_patches`: tokens to (B, C, height, width)."""
    rows, columns = -(-height // patch), -(-width // patch)
    parts = tokens.reshape(len(tokens), rows, columns, -1, patch, patch)
    parts = parts.permute(0, 3, 1, 4, 2, 5)
    whole = parts.reshape(len(tokens), -1, rows * patch, columns * patch)
    return whole[..., :height, :width]


def positions(rows: int, columns: int, *, first: int = 0, top: int = 0, left: int = 0) -> Tensor:
    """Places of tokens, (rows * columns, 3): a number of the picture, the row and the column."""
    places = torch.zeros(rows, columns, 3)
    places[..., 0] = first
    places[..., 1] = torch.arange(top, top + rows)[:, None]
    places[..., 2] = torch.arange(left, left + columns)
    return places.reshape(-1, 3)


def beside(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Corners (top, left) of pictures of (rows, columns) on one sheet: each right of or below those before, so that the sheet stays small."""
    found, height, width = [], 0, 0
    for tall, wide in sizes:
        below = height + tall <= width + wide
        top, left = (height, 0) if below else (0, width)
        found.append((top, left))
        height, width = max(height, top + tall), max(width, left + wide)
    return found


def further(lengths: Sequence[int], *needed: int) -> list[int] | None:
    """Lengths of tables of positions, by axis, that hold larger texts and pictures; None where they do as they are."""
    longer = [max(pair) for pair in zip(lengths, needed, strict=True)]
    return None if longer == list(lengths) else longer
