"""Stochastic DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095), after k-diffusion (MIT).

Written for alpha = 1; flow models come in that form (see `variance_exploding`).
"""

from __future__ import annotations

import functools
from typing import Literal

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


def dpmpp_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 1 / 2,
) -> Tensor:
    """DPM-Solver++ SDE: two evaluations a step, the second at the fraction `r` of the step in log sigma."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            x = denoised
            continue
        t, t_next = negative_log(sigma), negative_log(sigma_next)
        start, middle, end = sigma, (t + (t_next - t) * r).neg().exp(), sigma_next

        def towards(
            target: Tensor, prediction: Tensor, x: Tensor = x, start: Tensor = start
        ) -> Tensor:
            step = ancestral_step(denoise.levels, start, target, eta)
            t, t_down = negative_log(start), negative_log(step.sigma_down)
            moved = (t_down.neg().exp() / start) * x - (t - t_down).expm1() * prediction
            return step.renoise(moved, start, target, noise, s_noise)

        second = denoise(towards(middle, denoised), middle)
        weight = 1 / (2 * r)
        x = towards(end, (1 - weight) * denoised + weight * second)
    return x


def dpmpp_2m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver: Literal["midpoint", "heun"] = "midpoint",
) -> Tensor:
    """DPM-Solver++(2M) SDE: second-order multistep with fresh noise."""
    before: Tensor | None = None
    h_before = sigmas.new_zeros(())
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            x = denoised
            continue
        h = negative_log(sigma_next) - negative_log(sigma)
        h_eta = h * (eta + 1)
        x = (
            sigma_next / sigma * (-h * eta).exp() * x
            + (-h_eta).expm1().neg() * denoised
        )
        if before is not None:
            weight = (-h_eta).expm1().neg()
            weight = 0.5 * weight if solver == "midpoint" else weight / (-h_eta) + 1
            x = x + weight * (h / h_before) * (denoised - before)
        if eta > 0 and s_noise > 0:
            x = (
                x
                + noise(sigma, sigma_next)
                * sigma_next
                * (-2 * h * eta).expm1().neg().sqrt()
                * s_noise
            )
        before, h_before = denoised, h
    return x


dpmpp_2m_sde_heun = functools.partial(dpmpp_2m_sde, solver="heun")


def dpmpp_3m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """DPM-Solver++(3M) SDE: third-order multistep with fresh noise."""
    history: list[tuple[Tensor, Tensor]] = []  # (prediction, h), newest first
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            x = denoised
            continue
        h = negative_log(sigma_next) - negative_log(sigma)
        h_eta = h * (eta + 1)
        x = (-h_eta).exp() * x + (-h_eta).expm1().neg() * denoised
        phi_2 = (-h_eta).expm1() / h_eta + 1
        if len(history) == 2:
            (one, h_1), (two, h_2) = history
            r_0, r_1 = h_1 / h, h_2 / h
            d1_0, d1_1 = (denoised - one) / r_0, (one - two) / r_1
            d1 = d1_0 + (d1_0 - d1_1) * r_0 / (r_0 + r_1)
            d2 = (d1_0 - d1_1) / (r_0 + r_1)
            x = x + phi_2 * d1 - (phi_2 / h_eta - 0.5) * d2
        elif history:
            one, h_1 = history[0]
            x = x + phi_2 * (denoised - one) / (h_1 / h)
        if eta > 0 and s_noise > 0:
            x = (
                x
                + noise(sigma, sigma_next)
                * sigma_next
                * (-2 * h * eta).expm1().neg().sqrt()
                * s_noise
            )
        history = [(denoised, h), *history[:1]]
    return x
