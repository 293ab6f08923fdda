"""Differential diffusion (Levin and Fried 2023, arXiv:2306.00950): a mask whose grey values say how much may change."""

from __future__ import annotations

from torch import Tensor

from .denoiser import MaskSchedule
from .loop import MakeMaskSchedule
from .prediction import ModelSampling


def differential_schedule(strength: float = 1.0) -> MakeMaskSchedule:
    """A mask that opens on the way: a place with the grey value g is made anew once the share g of time is left.

    Args:
        strength: share of the opening mask, 0 to 1; the rest is the mask as it is.
    """

    def make(model_sampling: ModelSampling, sigmas: Tensor) -> MaskSchedule:
        lowest = sigmas[-1].clamp(min=model_sampling.sigma_min)
        first, last = (float(model_sampling.timestep(level)) for level in (sigmas[0], lowest))

        def at(mask: Tensor, sigma: Tensor) -> Tensor:
            now = float(model_sampling.timestep(sigma.cpu()))
            left = (now - last) / (first - last) if first > last else 0.0
            opened = (mask >= left).to(mask)
            return strength * opened + (1.0 - strength) * mask

        return at

    return make
