"""Linear multistep samplers: they fit the slope dx/dsigma of several steps by a polynomial.

LMS and IPNDM work in sigma, DEIS in the time of the variance-preserving process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .base import (
    Callback,
    Denoiser,
    Step,
    StepNoise,
    derivative,
    steps_of,
    weights_from_moments,
)

_ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)

Weights = Callable[[Sequence[float]], Sequence[float]]
"""(sigma_next, sigma, sigma before, ...) -> weights of the slopes, newest first; they sum to the step."""


def lms(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    order: int = 4,
) -> Tensor:
    """Adams-Bashforth on uneven steps (k-diffusion; Hairer, Norsett and Wanner 1993, chapter III.5)."""
    return _walk(denoise, x, sigmas, callback, _lagrange_weights, order=order)


def ipndm(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """Adams-Bashforth of order four with the weights of even steps (Zhang and Chen 2022, arXiv:2204.13902)."""
    return _walk(denoise, x, sigmas, callback, _even_weights, order=4)


def ipndm_v(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """Adams-Bashforth of order four with the weights for uneven steps as first published.

    The published weights (Zhou et al. 2024, arXiv:2312.00094, its code) deviate from the exact ones at
    orders three and four, and diverge on very uneven schedules; pictures made with this name need them.
    `lms` has the exact weights.
    """
    return _walk(denoise, x, sigmas, callback, _published_weights, order=4)


def deis(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """tAB-DEIS of order three: the slope is a polynomial in time (Zhang and Chen 2022, arXiv:2204.13902)."""
    return _walk(denoise, x, sigmas, callback, _time_weights, order=3)


def _walk(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    callback: Callback,
    weights: Weights,
    order: int,
) -> Tensor:
    levels: list[float] = sigmas.tolist()
    slopes: list[Tensor] = []
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        slopes = [derivative(x, sigma, denoised), *slopes[: order - 1]]
        if sigma_next == 0:
            x = denoised
            continue
        used = weights(levels[i + 1 - len(slopes) : i + 2][::-1])
        for weight, slope in zip(used, slopes, strict=True):
            x = x + weight * slope
    return x


def _lagrange_weights(levels: Sequence[float]) -> list[float]:
    """Integrals over the step of the Lagrange polynomials through the levels after the first."""
    end, start = levels[0], levels[1]
    step = end - start
    nodes = [(level - start) / step for level in levels[1:]]
    moments = [1 / (k + 1) for k in range(len(nodes))]
    return [step * w for w in weights_from_moments(nodes, moments)]


def _even_weights(levels: Sequence[float]) -> list[float]:
    step = levels[0] - levels[1]
    return [step * w for w in _ADAMS_BASHFORTH[len(levels) - 2]]


def _published_weights(levels: Sequence[float]) -> list[float]:
    h, *before = (a - b for a, b in pairwise(levels))
    weights = [1.0]
    if len(before) >= 1:
        h1 = before[0]
        weights = [1 + h / h1 / 2, -h / h1 / 2]
    if len(before) >= 2:
        h2 = before[1]
        # exact: (1 - h / (3 (h + h1))) * (h (h + h1)) / (h1 (h1 + h2)) / 2
        term = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2
        weights = [weights[0] + term, weights[1] - (1 + h1 / h2) * term, term * h1 / h2]
    if len(before) >= 3:
        h3 = before[2]
        inner = (1 - h / (3 * (h + h1))) / 2 + (1 - h / (2 * (h + h1))) * h / (
            6 * (h + h1 + h2)
        )
        term = (
            inner * (h * (h + h1) * (h + h1 + h2)) / (h1 * (h1 + h2) * (h1 + h2 + h3))
        )
        q = h1 * (h1 + h2) / (h2 * (h2 + h3))
        # exact: the last weight is -term * q * h2 / h3
        weights = [
            weights[0] + term,
            weights[1] - (1 + h1 / h2 + q) * term,
            weights[2] + (h1 / h2 + q * (1 + h2 / h3)) * term,
            -term * q * h1 / h2,
        ]
    return [h * w for w in weights]


def _time_weights(levels: Sequence[float], points: int = 10000) -> list[float]:
    """Integrals over the step, in time t, of dsigma/dt times the Lagrange polynomials.

    t belongs to the variance-preserving process that runs from sigma = 0.002 at t = 0.001 to sigma = 80
    at t = 1, and the integral is a sum over 10,000 points, both as published.
    """
    if len(levels) == 2:
        return [levels[0] - levels[1]]
    eps, low, high = 1e-3, math.log(0.002**2 + 1), math.log(80.0**2 + 1)
    beta_d = 2 * (low / eps - high) / (eps - 1)
    beta_min = high - beta_d / 2
    end, *nodes = (
        (math.sqrt(beta_min**2 + 2 * beta_d * math.log(s**2 + 1)) - beta_min) / beta_d
        for s in levels
    )
    t = torch.linspace(nodes[0], end, points, dtype=torch.float64)
    variance = torch.expm1(beta_d * t**2 / 2 + beta_min * t)
    slope = (beta_d * t + beta_min) * (1 + variance) / variance.sqrt() / 2
    weights = []
    for node in nodes:
        polynomial = torch.ones_like(t)
        for other in nodes:
            if other != node:
                polynomial = polynomial * (t - other) / (node - other)
        weights.append(float((slope * polynomial).sum()) * (end - nodes[0]) / points)
    return weights
