"""Refined exponential solver, multistep (Zhang et al. 2023, arXiv:2308.02157), in half log-SNR of alpha = 1."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from .base import (
    Callback,
    Denoiser,
    Step,
    StepNoise,
    ancestral_step,
    negative_log,
    steps_of,
)


def _res_multistep(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float,
    cfg_pp: bool,
    s_noise: float = 1.0,
) -> Tensor:
    """Second-order multistep with phi functions; order conditions of the paper's table 1.

    With `cfg_pp` (Chung et al. 2024, arXiv:2406.08070) the step starts from x + x0 - x0_uncond and
    moves along the unconditional predictions.
    """
    levels = denoise.levels
    before: Tensor | None = None
    t_before = t_reached = sigmas.new_zeros(())
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = (
            denoise.with_uncond(x, sigma) if cfg_pp else (denoise(x, sigma),) * 2
        )
        callback(Step(i, x, sigma, denoised))
        step = ancestral_step(levels, sigma, sigma_next, eta)
        t = negative_log(sigma)
        if before is None or step.sigma_down == 0:
            away = (x - levels.alpha(sigma) * uncond) / sigma
            x = levels.alpha(step.sigma_down) * denoised + step.sigma_down * away
        else:
            h = negative_log(step.sigma_down) - t
            c_2 = (t_before - t_reached) / h
            phi_1 = torch.expm1(-h) / -h
            phi_2 = (phi_1 - 1) / -h
            x = x + levels.alpha(sigma) * (denoised - uncond) if cfg_pp else x
            x = (-h).exp() * x + h * (
                (phi_1 - phi_2 / c_2) * uncond + phi_2 / c_2 * before
            )
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
        before, t_before, t_reached = uncond, t, negative_log(step.sigma_down)
    return x


res_multistep = functools.partial(_res_multistep, eta=0.0, cfg_pp=False)
res_multistep_cfg_pp = functools.partial(_res_multistep, eta=0.0, cfg_pp=True)
res_multistep_ancestral = functools.partial(_res_multistep, eta=1.0, cfg_pp=False)
res_multistep_ancestral_cfg_pp = functools.partial(_res_multistep, eta=1.0, cfg_pp=True)
