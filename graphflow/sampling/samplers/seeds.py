"""Stochastic exponential derivative-free solvers, SEEDS-2 and SEEDS-3 (Gonzalez et al. 2023, arXiv:2305.14267).

Written for alpha = 1, where lambda = -log sigma.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from .base import Callback, Denoiser, Step, StepNoise, negative_log, steps_of


def seeds_2(
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
    """SEEDS-2 in data prediction: two evaluations a step, the second at the fraction `r` of it."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            return denoised
        part = _Substeps(sigma, sigma_next, (r,), eta, s_noise, noise)
        (middle,) = part.levels
        x_2 = part.decay(r) * x - part.expm1(r) * denoised + part.noise_until(0)
        second = denoise(x_2, middle)
        weight = 1 / (2 * r)
        target = (1 - weight) * denoised + weight * second
        x = part.decay(1) * x - part.expm1(1) * target + part.noise_until(1)
    return x


def seeds_3(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r_1: float = 1 / 3,
    r_2: float = 2 / 3,
) -> Tensor:
    """SEEDS-3 in data prediction: three evaluations a step, at the fractions 0, `r_1` and `r_2` of it."""
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        callback(Step(i, x, sigma, denoised))
        if sigma_next == 0:
            return denoised
        part = _Substeps(sigma, sigma_next, (r_1, r_2), eta, s_noise, noise)
        first, middle = part.levels
        x_2 = part.decay(r_1) * x - part.expm1(r_1) * denoised + part.noise_until(0)
        second = denoise(x_2, first)
        x_3 = part.decay(r_2) * x - part.expm1(r_2) * denoised
        x_3 = (
            x_3
            + (r_2 / r_1) * part.phi_2(r_2) * (second - denoised)
            + part.noise_until(1)
        )
        third = denoise(x_3, middle)
        x = part.decay(1) * x - part.expm1(1) * denoised
        x = x + (1 / r_2) * part.phi_2(1) * (third - denoised) + part.noise_until(2)
    return x


class _Substeps:
    """The levels within one step, and the noise of the SDE between them."""

    def __init__(
        self,
        sigma: Tensor,
        sigma_next: Tensor,
        fractions: tuple[float, ...],
        eta: float,
        s_noise: float,
        noise: StepNoise,
    ) -> None:
        self.h = negative_log(sigma_next) - negative_log(sigma)
        self.eta = eta
        self.fractions = (*fractions, 1.0)
        self.sigma = sigma
        self.levels = [self._level(f) for f in fractions]
        ends = [sigma, *self.levels, sigma_next]
        self.draws = (
            [noise(a, b) * s_noise for a, b in pairwise(ends)] if eta > 0 else []
        )

    def _level(self, fraction: float) -> Tensor:
        return self.sigma * (-fraction * self.h).exp()

    def decay(self, fraction: float) -> Tensor:
        """How much of x is left after `fraction` of the step."""
        return (-fraction * self.h * (1 + self.eta)).exp()

    def expm1(self, fraction: float) -> Tensor:
        return (-fraction * self.h * (1 + self.eta)).expm1()

    def phi_2(self, fraction: float) -> Tensor:
        return self.expm1(fraction) / (fraction * self.h * (1 + self.eta)) + 1

    def noise_until(self, end: int) -> Tensor | float:
        """Noise of the SDE from the start of the step to the end of its part `end`.

        What was drawn in an earlier part has decayed; together the parts have variance
        sigma^2 (1 - exp(-2 eta h)) at each end.
        """
        if not self.draws:
            return 0.0
        rate = 2 * self.eta * self.h
        at = self.fractions[end]
        total: Tensor | float = 0.0
        start = 0.0
        for fraction, draw in zip(self.fractions[: end + 1], self.draws, strict=False):
            share = (-(at - fraction) * rate).exp() - (-(at - start) * rate).exp()
            total = total + share.sqrt() * draw
            start = fraction
        return self._level(at) * total
