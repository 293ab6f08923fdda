"""Noise levels of models that are told the level itself, not one of the steps of their training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .levels import Levels

_COSINE_OFFSET = 0.008


class LogLevels(Levels):
    """Levels even in log sigma, which the network is told as log(sigma) / 4 (Karras et al. 2022, arXiv:2206.00364).

    Args:
        sigma_min: Lowest level, above 0.
        sigma_max: Highest level.
        levels: Number of levels in the table from which the simple schedules choose.
    """

    def __init__(self, sigma_min: float, sigma_max: float, levels: int = 1000) -> None:
        ends = math.log(sigma_min), math.log(sigma_max)
        self.sigmas = torch.linspace(*ends, levels).exp()
        self.log_sigmas = self.sigmas.log()

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told at noise levels of any shape, float32."""
        return 0.25 * sigma.log()

    def sigma(self, timestep: Tensor) -> Tensor:
        """The noise level of what the network is told."""
        return (timestep / 0.25).exp()

    def percent_to_sigma(self, percent: float) -> float:
        """The noise level at a share of the way from pure noise to the picture."""
        if not 0.0 < percent < 1.0:
            return super().percent_to_sigma(percent)
        return share_of_range(self, percent)


def share_of_range(levels: Levels, percent: float) -> float:
    """The level at a share, between 0 and 1, of the way from the highest to the lowest, even in log sigma."""
    low, high = float(levels.log_sigmas[0]), float(levels.log_sigmas[-1])
    return math.exp((high - low) * (1.0 - percent) + low)


class CosineLevels(Levels):
    """The cosine schedule of Stable Cascade, shifted (Hoogeboom et al. 2023, arXiv:2301.11093).

    The network is told the time in [0, 1] at which the unshifted schedule has the level.

    Args:
        shift: Factor on sigma; above 0.
        levels: Number of levels in the table from which the simple schedules choose.
    """

    def __init__(self, shift: float = 1.0, levels: int = 10_000) -> None:
        self.shift = shift
        self.sigmas = self.sigma(torch.arange(1, levels + 1) / levels)
        self.log_sigmas = self.sigmas.log()

    def timestep(self, sigma: Tensor) -> Tensor:
        """The time at noise levels of any shape, float32: the network tells roundings of it apart."""
        kept = (1 / (sigma * sigma + 1)).clamp(0, 1.0)
        offset = torch.tensor(_COSINE_OFFSET, device=sigma.device)
        angle = (kept * _cosine_start().to(sigma.device)).sqrt().acos()
        return angle / (math.pi * 0.5) * (1 + offset) - offset

    def sigma(self, timestep: Tensor) -> Tensor:
        """The noise level at times in [0, 1]."""
        angle = (timestep + _COSINE_OFFSET) / (1 + _COSINE_OFFSET) * math.pi * 0.5
        kept = angle.cos() ** 2 / _cosine_start()
        if self.shift != 1.0:
            shifted = (kept / (1 - kept)).log() + 2 * math.log(1.0 / self.shift)
            kept = shifted.sigmoid()
        kept = kept.clamp(1e-4, 0.9999)
        return ((1 - kept) / kept).sqrt()

    def percent_to_sigma(self, percent: float) -> float:
        """The noise level at a share of the way from pure noise to the picture."""
        if not 0.0 < percent < 1.0:
            return super().percent_to_sigma(percent)
        return float(self.sigma(torch.tensor(1.0 - percent)))


def _cosine_start() -> Tensor:
    offset = torch.tensor(_COSINE_OFFSET)
    return (offset / (1 + offset) * math.pi * 0.5).cos() ** 2
