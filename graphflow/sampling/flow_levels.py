"""Noise levels of flow models: noisy latents are (1 - sigma) * clean + sigma * noise, with sigma in [0, 1]."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor

from .levels import Levels

TRAINING_STEPS = 1000
"""Training steps of most models; flow models with a finer table have their shift by its logarithm."""

Time = TypeVar("Time", float, Tensor)


def shift_time(shift: float, t: Time, *, by_odds: bool) -> Time:
    """Shift times t in (0, 1]; for models of more levels than training steps by way of 1 / t, as FLUX.1's authors do.

    Both are the same number, rounded otherwise; networks that read the time finely tell them apart.
    """
    if shift == 1.0:
        return t
    if by_odds:
        return shift / (shift + (1 / t - 1))
    return shift * t / (1 + (shift - 1) * t)


def flux_shift(width: int, height: int, *, base_shift: float = 0.5, max_shift: float = 1.15) -> float:
    """Time shift exp(mu) of Flux for a picture size in pixels; mu grows linearly from 256 to 4096 latent tokens."""
    tokens = width * height / 256
    slope = (max_shift - base_shift) / (4096 - 256)
    return math.exp(slope * tokens + base_shift - slope * 256)


def flux2_sigmas(steps: int, width: int = 1024, height: int = 1024) -> Tensor:
    """FLUX.2's steps + 1 noise levels from 1 to 0, float32, shifted by the picture's size in pixels and the number of steps.

    The shift is the empirical function that Diffusers' Flux2Pipeline has (``compute_empirical_mu``).
    """
    shifted = evenly_shifted(steps, empirical_mu(width * height // 256, steps))
    return torch.cat([shifted, torch.zeros(1, dtype=torch.float64)]).float()


def empirical_mu(length: int, steps: int) -> float:
    """Logarithm of FLUX.2's time shift for a sequence of ``length`` tokens sampled in ``steps`` steps."""
    a1, b1 = 8.73809524e-05, 1.89833333
    a2, b2 = 0.00016927, 0.45666666
    at_200 = a2 * length + b2
    if length > 4300:
        return at_200
    at_10 = a1 * length + b1
    slope = (at_200 - at_10) / 190.0
    return slope * steps + at_200 - 200.0 * slope


def evenly_shifted(steps: int, mu: float) -> Tensor:
    """Even levels from 1 to 1/steps, (steps,) float64, with their time shifted by e^mu."""
    levels = torch.linspace(1.0, 1.0 / steps, steps, dtype=torch.float64)
    return torch.sigmoid(levels.logit() + mu)


class FlowLevels(Levels):
    """Noise levels of a rectified-flow model.

    Args:
        shift: sigma = shift * t / (1 + (shift - 1) * t) at times t (Esser et al. 2024, arXiv:2403.03206).
        levels: number of noise levels in the table from which the simple schedules choose.
        timestep_scale: the network's timestep at t = 1.
    """

    def __init__(self, shift: float = 1.0, levels: int = 1000, timestep_scale: float = 1000.0) -> None:
        self.shift, self.timestep_scale = shift, timestep_scale
        t = torch.arange(1, levels + 1, dtype=torch.float32) / levels
        self.sigmas = shift_time(shift, t, by_odds=levels > TRAINING_STEPS)
        self.log_sigmas = self.sigmas.log()

    @property
    def is_flow(self) -> bool:
        """Whether noisy latents are (1 - sigma) * clean + sigma * noise."""
        return True

    @property
    def by_odds(self) -> bool:
        """Whether times are shifted by way of their odds."""
        return len(self.sigmas) > TRAINING_STEPS

    def timestep(self, sigma: Tensor) -> Tensor:
        """The network's timestep at noise levels of any shape, float32."""
        return sigma * self.timestep_scale

    def sigma(self, timestep: Tensor) -> Tensor:
        """The noise level at timesteps."""
        t = timestep / self.timestep_scale
        return shift_time(self.shift, t, by_odds=self.by_odds)

    def percent_to_sigma(self, percent: float) -> float:
        """The noise level at a share of the way from pure noise to the picture."""
        if not 0.0 < percent < 1.0:
            return 1.0 if percent <= 0.0 else 0.0
        sigma: float = shift_time(self.shift, 1.0 - percent, by_odds=self.by_odds)
        return sigma

    def alpha(self, sigma: Tensor) -> Tensor:
        """Weight of the clean sample in x."""
        return 1.0 - sigma

    def half_log_snr(self, sigma: Tensor) -> Tensor:
        """Lambda = log(alpha / sigma), in which exponential solvers are linear."""
        return -sigma.logit()

    def sigma_at_half_log_snr(self, half_log_snr: Tensor) -> Tensor:
        """Inverse of `half_log_snr`."""
        return (-half_log_snr).sigmoid()

    def noise_latent(self, sigma: Tensor, noise: Tensor, latent: Tensor, *, max_denoise: bool = False) -> Tensor:
        """A latent brought to a noise level; the highest is noise alone, so `max_denoise` changes nothing."""
        return sigma * noise + (1.0 - sigma) * latent
