"""Extended reverse-time SDE solver (Cui et al. 2023, arXiv:2309.06169; after its MIT code)."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Callback, Denoiser, Step, StepNoise, steps_of


def er_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    s_noise: float = 1.0,
    order: int = 3,
    points: int = 200,
) -> Tensor:
    """Taylor steps up to third order with the noise scale sigma * (exp(sigma^0.3) + 10) ("SDE 5" of the paper).

    The integrals of 1 / scale are sums over `points` points. Written for alpha = 1.
    """
    fraction = torch.arange(points, dtype=torch.float32, device=sigmas.device) / points
    x0_before = slope_before = x
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            return denoised
        ratio = _noise_scale(sigma_next) / _noise_scale(sigma)
        moved = ratio * x + (1 - ratio) * denoised
        dt = sigma_next - sigma
        levels = sigma_next - fraction * dt
        slope = torch.zeros_like(x)
        if i >= 1 and order >= 2:
            slope = (denoised - x0_before) / (sigma - sigmas[i - 1])
            integral = torch.sum(1 / _noise_scale(levels)) * (-dt / points)
            moved = moved + (dt + integral * _noise_scale(sigma_next)) * slope
        if i >= 2 and order >= 3:
            curvature = (slope - slope_before) / ((sigma - sigmas[i - 2]) / 2)
            integral = torch.sum((levels - sigma) / _noise_scale(levels)) * (-dt / points)
            moved = moved + (dt**2 / 2 + integral * _noise_scale(sigma_next)) * curvature
        spread = (sigma_next**2 - sigma**2 * ratio**2).clamp(min=0).sqrt()
        x = moved + noise(sigma, sigma_next) * s_noise * spread
        x0_before, slope_before = denoised, slope
    return x


def _noise_scale(sigma: Tensor) -> Tensor:
    return sigma * ((sigma**0.3).exp() + 10.0)
