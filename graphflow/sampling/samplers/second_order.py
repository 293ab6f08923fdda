"""Samplers with several evaluations a step: Heun, Heun++, exponential Heun and DPM-Solver-2."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import (
    Callback,
    Denoiser,
    Step,
    StepNoise,
    ancestral_step,
    derivative,
    negative_log,
    steps_of,
)


def heun(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """Heun's second-order steps (Karras et al. 2022, arXiv:2206.00364, algorithm 1)."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        d = derivative(x, sigma, denoised)
        dt = sigma_next - sigma
        if sigma_next > 0:
            ahead = x + d * dt
            d = (d + derivative(ahead, sigma_next, denoise(ahead, sigma_next))) / 2
        x = x + d * dt
    return x


def heunpp2(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """Heun++: the slopes at this and the next two levels, weighted by sigma / (n * sigmas[0]).

    A method of the community without a paper (Carzit, sd-webui-samplers-scheduler).
    """
    last = sigmas[-1]
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        d = derivative(x, sigma, denoised)
        dt = sigma_next - sigma
        if sigma_next == last:
            x = x + d * dt
            continue
        ahead = x + d * dt
        d_2 = derivative(ahead, sigma_next, denoise(ahead, sigma_next))
        sigma_after = sigmas[i + 2]
        if sigma_after == last:
            w_2 = sigma_next / (2 * sigmas[0])
            slope = d * (1 - w_2) + d_2 * w_2
        else:
            ahead = ahead + d_2 * (sigma_after - sigma_next)
            d_3 = derivative(ahead, sigma_after, denoise(ahead, sigma_after))
            w_2, w_3 = sigma_next / (3 * sigmas[0]), sigma_after / (3 * sigmas[0])
            slope = d * (1 - w_2 - w_3) + d_2 * w_2 + d_3 * w_3
        x = x + slope * dt
    return x


def exp_heun_2_x0(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """Heun's method in its exponential form, in data prediction (Hochbruck and Ostermann 2005, 10.1137/040611434)."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            return denoised
        h = negative_log(sigma_next) - negative_log(sigma)
        ahead = (-h).exp() * x - (-h).expm1() * denoised
        x = ahead + ((-h).expm1() / h + 1) * (denoise(ahead, sigma_next) - denoised)
    return x


def dpm_2(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """DPM-Solver-2 with its midpoint halfway in log sigma (Lu et al. 2022, arXiv:2206.00927; k-diffusion)."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        d = derivative(x, sigma, denoised)
        if sigma_next > 0:
            middle = _log_middle(sigma, sigma_next)
            halfway = x + d * (middle - sigma)
            d = derivative(halfway, middle, denoise(halfway, middle))
        x = x + d * (sigma_next - sigma)
    return x


def dpm_2_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """DPM-Solver-2 (arXiv:2206.00927) with fresh noise after each step (k-diffusion)."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        step = ancestral_step(denoise.levels, sigma, sigma_next, eta)
        d = derivative(x, sigma, denoised)
        if step.sigma_down > 0:
            middle = _log_middle(sigma, step.sigma_down)
            halfway = x + d * (middle - sigma)
            d = derivative(halfway, middle, denoise(halfway, middle))
        x = x + d * (step.sigma_down - sigma)
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def _log_middle(sigma: Tensor, sigma_next: Tensor) -> Tensor:
    return torch.lerp(sigma.log(), sigma_next.log(), 0.5).exp()
