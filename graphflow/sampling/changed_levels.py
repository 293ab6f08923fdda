"""Schedules changed: cut in two, turned round, with more steps."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from .schedules import then_zero

LOWEST_FIRST = 1e-4
"""What a zero becomes that would stand at the beginning of a schedule."""


def down_to_zero(sigmas: Tensor) -> Tensor:
    """Noise levels whose last step goes all the way."""
    return then_zero(sigmas[:-1])


def split_at_strength(sigmas: Tensor, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """Two parts of a schedule of which the second has a share of the steps."""
    steps = max(len(sigmas) - 1, 0)
    step = steps - round(steps * strength)
    return sigmas[: step + 1], sigmas[step:]


def flip_sigmas(sigmas: Tensor) -> Tensor:
    """A schedule turned round, from a picture to noise; it begins above zero."""
    flipped = sigmas.flip(0)
    if len(flipped) and float(flipped[0]) == 0:
        flipped[0] = LOWEST_FIRST
    return flipped


def scale_sigmas(sigmas: Tensor, factor: float = 1.0) -> Tensor:
    """A schedule with all its levels multiplied."""
    return sigmas * factor


def set_first_sigma(sigmas: Tensor, sigma: float = 136.0) -> Tensor:
    """A schedule that begins at another level."""
    values = sigmas.clone()
    values[0] = sigma
    return values


def extend_sigmas(
    sigmas: Tensor,
    steps: int = 2,
    start_sigma: float = -1.0,
    end_sigma: float = 12.0,
    spacing: str = "linear",
) -> Tensor:
    """A schedule with each step that starts between two levels cut into several."""
    high = math.inf if start_sigma < 0 else start_sigma
    part = torch.linspace(0, 1, steps + 1)[:-1]
    if spacing == "cosine":
        part = torch.sin(part * math.pi / 2)
    elif spacing == "sine":
        part = 1 - torch.cos(part * math.pi / 2)
    pieces = []
    for sigma, following in pairwise(sigmas):
        inside = end_sigma <= float(sigma) <= high
        cut = sigma + part * (following - sigma)
        pieces.append(cut if inside else sigma.reshape(1))
    return torch.cat([*pieces, sigmas[-1:]])
