"""DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095): single-step 2S and multistep 2M, after k-diffusion (MIT)."""

from __future__ import annotations

from torch import Tensor

from .base import Callback, Denoiser, Step, StepNoise, ancestral_step, negative_log, steps_of


def dpmpp_2m(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: StepNoise, callback: Callback) -> Tensor:
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


def dpmpp_2m_cfg_pp(denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: StepNoise, callback: Callback) -> Tensor:
    """DPM-Solver++(2M) with CFG++ (Chung et al. 2024, arXiv:2406.08070, algorithm 5)."""
    before: Tensor | None = None
    h_before = sigmas.new_zeros(())
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        callback(Step(i, x, sigma, denoised))
        h = negative_log(sigma_next) - negative_log(sigma)
        x = denoised + (-h).exp() * (x - uncond)
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
    """DPM-Solver++(2S) with fresh noise after each step."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        step = ancestral_step(denoise.model_sampling, sigma, sigma_next, eta)
        x = _single_step(denoise, x, x, sigma, step.sigma_down, denoised)
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
) -> Tensor:
    """Ancestral DPM-Solver++(2S) with CFG++ (arXiv:2406.08070): steps start from x + x0 - x0_uncond."""
    sampling = denoise.model_sampling
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        callback(Step(i, x, sigma, denoised))
        step = ancestral_step(sampling, sigma, sigma_next, eta)
        moved = x + sampling.alpha(sigma) * (denoised - uncond)
        x = _single_step(denoise, moved, x, sigma, step.sigma_down, denoised)
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def _single_step(
    denoise: Denoiser, x: Tensor, unmoved: Tensor, sigma: Tensor, sigma_next: Tensor, denoised: Tensor
) -> Tensor:
    """From sigma to sigma_next through the point halfway in half log-SNR."""
    sampling = denoise.model_sampling
    if sigma_next == 0:
        return denoised + 0 * unmoved
    t, t_next = sampling.half_log_snr(sigma), sampling.half_log_snr(sigma_next)
    if t.isinf():  # a flow model at sigma = 1: the halfway point lies at the start
        return (sigma_next / sigma) * x + sampling.alpha(sigma_next) * denoised
    middle = sampling.sigma_at_half_log_snr(t + 0.5 * (t_next - t))
    h = t_next - t
    halfway = (middle / sigma) * x - sampling.alpha(middle) * (-h / 2).expm1() * denoised
    second = denoise(halfway, middle)
    return (sigma_next / sigma) * x - sampling.alpha(sigma_next) * (-h).expm1() * second
