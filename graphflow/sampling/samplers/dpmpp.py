"""DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095): single-step 2S and multistep 2M, after k-diffusion (MIT)."""

from __future__ import annotations

import torch
from torch import Tensor

from graphflow.sampling.levels import Levels

from .base import (
    Callback,
    Denoiser,
    Step,
    StepNoise,
    ancestral_step,
    negative_log,
    steps_of,
)

NEARLY_PURE_NOISE = 0.9999
"""Second level of a step that starts at a flow model's sigma = 1, where the half log-SNR is infinite."""


def dpmpp_2m(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """DPM-Solver++(2M): second order from the prediction of the step before; first order at the end."""
    before: Tensor | None = None
    h_before = sigmas.new_zeros(())
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        h = negative_log(sigma_next) - negative_log(sigma)
        target = denoised
        if before is not None and sigma_next > 0:
            r = h_before / h
            target = (1 + 1 / (2 * r)) * denoised - (1 / (2 * r)) * before
        x = (sigma_next / sigma) * x - (-h).expm1() * target
        before, h_before = denoised, h
    return x


def dpmpp_2m_cfg_pp(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """DPM-Solver++(2M) with CFG++ (Chung et al. 2024, arXiv:2406.08070)."""
    levels = denoise.levels
    before: Tensor | None = None
    h_before = sigmas.new_zeros(())
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        callback(Step(i, x, sigma, denoised))
        h = negative_log(sigma_next) - negative_log(sigma)
        x = levels.alpha(sigma_next) * denoised + (sigma_next / sigma) * (
            x - levels.alpha(sigma) * uncond
        )
        if before is not None and sigma_next > 0:
            r = h_before / h
            x = x - (-h).expm1() * (1 / (2 * r)) * (denoised - before)
        before, h_before = uncond, h
    return x


def dpmpp_2s_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """DPM-Solver++(2S) with fresh noise after each step; the second evaluation is halfway in half log-SNR."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        step = ancestral_step(denoise.levels, sigma, sigma_next, eta)
        middle = _middle(denoise.levels, sigma, step.sigma_down)
        target = (
            denoised
            if middle is None
            else denoise(_towards(x, sigma, middle, denoised), middle)
        )
        x = _towards(x, sigma, step.sigma_down, target)
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def dpmpp_2s_ancestral_cfg_pp(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
    latest_uncond: bool = True,
) -> Tensor:
    """Ancestral DPM-Solver++(2S) with CFG++ (arXiv:2406.08070): steps start from x + alpha (x0 - x0_uncond).

    Pictures made with this name come from an implementation that takes, for the whole step, the
    unconditional prediction of the second evaluation. `latest_uncond=False` takes the first one's, which
    belongs to x.
    """
    levels = denoise.levels
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        callback(Step(i, x, sigma, denoised))
        step = ancestral_step(levels, sigma, sigma_next, eta)
        target = denoised
        middle = _middle(levels, sigma, step.sigma_down)
        if middle is not None:
            moved = x + levels.alpha(sigma) * (denoised - uncond)
            target, second_uncond = denoise.with_uncond(
                _towards(moved, sigma, middle, denoised), middle
            )
            uncond = second_uncond if latest_uncond else uncond
        moved = x + levels.alpha(sigma) * (denoised - uncond)
        x = _towards(moved, sigma, step.sigma_down, target)
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def _towards(x: Tensor, sigma: Tensor, sigma_next: Tensor, target: Tensor) -> Tensor:
    """The exact solution from sigma to sigma_next where the prediction is constant; also for flow models."""
    ratio = sigma_next / sigma
    return ratio * x + (1 - ratio) * target


def _middle(levels: Levels, sigma: Tensor, sigma_next: Tensor) -> Tensor | None:
    """The level halfway in half log-SNR; None where the step ends at 0, and just below pure noise where it starts there."""
    if sigma_next == 0:
        return None
    if levels.is_flow and sigma >= 1:
        return torch.full_like(sigma, NEARLY_PURE_NOISE)
    return levels.sigma_at_half_log_snr(
        (levels.half_log_snr(sigma) + levels.half_log_snr(sigma_next)) / 2
    )
