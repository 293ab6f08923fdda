"""Euler steps, plain and ancestral, with and without CFG++."""

from __future__ import annotations

from torch import Tensor

from .base import (
    Callback,
    Denoiser,
    Step,
    StepNoise,
    ancestral_step,
    derivative,
    steps_of,
)


def euler(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """Euler steps of the probability flow ODE (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without churn).

    DDIM with eta = 0 (Song et al. 2021, arXiv:2010.02502) takes the same steps.
    """
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        x = x + derivative(x, sigma, denoised) * (sigma_next - sigma)
    return x


def euler_cfg_pp(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """Euler steps that renoise with the unconditional prediction (Chung et al. 2024, CFG++, arXiv:2406.08070)."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        callback(Step(i, x, sigma, denoised))
        alpha, alpha_next = (
            denoise.levels.alpha(sigma),
            denoise.levels.alpha(sigma_next),
        )
        x = alpha_next * denoised + sigma_next * (x - alpha * uncond) / sigma
    return x


def euler_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """Euler steps with fresh noise after each (k-diffusion; eta = 1 is ancestral sampling of DDPM)."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            x = denoised
            continue
        step = ancestral_step(denoise.levels, sigma, sigma_next, eta)
        x = x + derivative(x, sigma, denoised) * (step.sigma_down - sigma)
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def euler_ancestral_cfg_pp(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """Ancestral Euler steps with CFG++ (arXiv:2406.08070)."""
    levels = denoise.levels
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            x = denoised
            continue
        step = ancestral_step(levels, sigma, sigma_next, eta)
        away = (x - levels.alpha(sigma) * uncond) / sigma
        x = levels.alpha(step.sigma_down) * denoised + step.sigma_down * away
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def ddpm(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """Ancestral sampling from the posterior q(x_s | x_t, x0) (Ho et al. 2020, arXiv:2006.11239, equation 7).

    With alpha = 1 its mean is a blend of x and x0 with weight (sigma_next / sigma)^2; flow models are
    brought to that form by dividing by alpha.
    """
    levels = denoise.levels
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            x = denoised
            continue
        alpha, alpha_next = levels.alpha(sigma), levels.alpha(sigma_next)
        # alpha^2 (sigma_next / alpha_next)^2 / sigma^2, written so that alpha = 0 (pure noise) is allowed
        ratio = (alpha * sigma_next / (alpha_next * sigma)) ** 2
        weight = alpha * sigma_next**2 / (alpha_next * sigma**2)
        spread = sigma_next * (1 - ratio).clamp(min=0).sqrt()
        x = (
            weight * x
            + alpha_next * (1 - ratio) * denoised
            + spread * noise(sigma, sigma_next)
        )
    return x


def lcm(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """Multistep consistency sampling (Song et al. 2023, arXiv:2303.01469, algorithm 1), as LCM uses it.

    LCM: Luo et al. 2023, arXiv:2310.04378.
    """
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        x = denoised
        if sigma_next > 0:
            x = denoise.levels.noise_latent(sigma_next, noise(sigma, sigma_next), x)
    return x


def gradient_estimation(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    gamma: float = 2.0,
) -> Tensor:
    """Euler steps along gamma * d + (1 - gamma) * d_before (Permenter and Yuan 2024, arXiv:2306.04848, algorithm 2)."""
    before: Tensor | None = None
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        d = derivative(x, sigma, denoised)
        if sigma_next == 0:
            x = denoised
        else:
            mixed = d if before is None else gamma * d + (1 - gamma) * before
            x = x + mixed * (sigma_next - sigma)
        before = d
    return x


def gradient_estimation_cfg_pp(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    gamma: float = 2.0,
) -> Tensor:
    """Gradient estimation (arXiv:2306.04848) with the unconditional gradient of CFG++ (arXiv:2406.08070)."""
    levels = denoise.levels
    before: Tensor | None = None
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        callback(Step(i, x, sigma, denoised))
        d = derivative(x, sigma, uncond)
        if sigma_next == 0:
            x = denoised
        else:
            away = (x - levels.alpha(sigma) * uncond) / sigma
            x = levels.alpha(sigma_next) * denoised + away * sigma_next
            if before is not None:
                x = x + (gamma - 1) * (d - before) * (sigma_next - sigma)
        before = d
    return x
