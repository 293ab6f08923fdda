"""Colours as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphflow.errors import InvalidInputError

if TYPE_CHECKING:
    import torch


def rgb(color: str) -> tuple[float, float, float]:
    """Return red, green and blue in [0, 1] of ``#rrggbb``.

    Raises:
        InvalidInputError: It is no such text.
    """
    digits = color.removeprefix("#")
    if len(digits) != 6 or len(color) != 7 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise InvalidInputError(f"{color!r} is no colour", advice="write #rrggbb, e.g. #ff8000")
    red, green, blue = (int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))
    return red, green, blue


def filled(color: str, batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    """Return pictures (B, 3 or 4, H, W) of one colour; a fourth channel is opaque."""
    import torch

    values = torch.tensor([*rgb(color), 1.0][:channels])
    return values.reshape(1, channels, 1, 1).expand(batch, channels, height, width).clone()
