"""Extended reverse-time SDE solver (Cui et al. 2023, arXiv:2309.06169; after its MIT code)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

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
    solver: Literal["er_sde", "reverse_time_sde", "ode"] = "er_sde",
    eta: float = 1.0,
    s_noise: float = 1.0,
    order: int = 3,
    points: int = 200,
) -> Tensor:
    """Taylor steps up to third order, in one of the paper's families of stochastic processes.

    Their noise scale is sigma * (exp(sigma^0.3) + 10) for `er_sde` ("SDE 5" of the paper), sigma^(1 + eta) for the
    reverse-time SDE with `eta` times its usual noise variance, and sigma for the ODE, which has none. The integrals of
    1 / scale are sums over `points` points. Written for alpha = 1.
    """
    scale = (
        _extended_scale
        if solver == "er_sde"
        else _power_scale(eta if solver == "reverse_time_sde" else 0.0)
    )
    fraction = torch.arange(points, dtype=torch.float32, device=sigmas.device) / points
    x0_before = slope_before = x
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            return denoised
        ratio = scale(sigma_next) / scale(sigma)
        moved = ratio * x + (1 - ratio) * denoised
        dt = sigma_next - sigma
        levels = sigma_next - fraction * dt
        slope = torch.zeros_like(x)
        if i >= 1 and order >= 2:
            slope = (denoised - x0_before) / (sigma - sigmas[i - 1])
            integral = torch.sum(1 / scale(levels)) * (-dt / points)
            moved = moved + (dt + integral * scale(sigma_next)) * slope
        if i >= 2 and order >= 3:
            curvature = (slope - slope_before) / ((sigma - sigmas[i - 2]) / 2)
            integral = torch.sum((levels - sigma) / scale(levels)) * (-dt / points)
            moved = moved + (dt**2 / 2 + integral * scale(sigma_next)) * curvature
        spread = (sigma_next**2 - sigma**2 * ratio**2).clamp(min=0).sqrt()
        x = (
            moved
            if spread == 0 or s_noise == 0
            else moved + noise(sigma, sigma_next) * s_noise * spread
        )
        x0_before, slope_before = denoised, slope
    return x


def _extended_scale(sigma: Tensor) -> Tensor:
    return sigma * ((sigma**0.3).exp() + 10.0)


def _power_scale(eta: float) -> Callable[[Tensor], Tensor]:
    return lambda sigma: sigma ** (1.0 + eta)
