"""DPM-Solver of orders one to three, on a fixed grid and with adaptive steps (Lu et al. 2022, arXiv:2206.00927).

After k-diffusion (MIT). Time is t = -log sigma. Both samplers end at the lowest level above zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from graphflow.sampling.checks import reachable_tolerance

from .base import (
    Callback,
    Denoiser,
    Step,
    StepNoise,
    ancestral_step,
    derivative,
    negative_log,
)

SUB_ORDERS = {0: [2, 1], 1: [1], 2: [2]}

SMALLEST_STEP = 1e-4
"""In log sigma; steps below it mean that nothing satisfies the tolerances."""


@dataclass
class _Interval:
    """One step from t to t_next; remembers the slopes so that lower and higher orders share them."""

    denoise: Denoiser
    x: Tensor
    t: Tensor
    t_next: Tensor
    slopes: dict[str, Tensor] = field(default_factory=dict)

    @property
    def h(self) -> Tensor:
        return self.t_next - self.t

    def slope(self, key: str, x: Tensor, t: Tensor) -> Tensor:
        if key not in self.slopes:
            sigma = t.neg().exp()
            self.slopes[key] = derivative(x, sigma, self.denoise(x, sigma))
        return self.slopes[key]

    def denoised(self) -> Tensor:
        return self.x - self.t.neg().exp() * self.slope("start", self.x, self.t)

    def _euler(self, fraction: float) -> Tensor:
        t = self.t + fraction * self.h
        return self.x - t.neg().exp() * (fraction * self.h).expm1() * self.slope(
            "start", self.x, self.t
        )

    def first(self) -> Tensor:
        return self._euler(1.0)

    def second(self, r1: float = 1 / 2) -> Tensor:
        start, h = self.slope("start", self.x, self.t), self.h
        middle = self.slope(f"r{r1}", self._euler(r1), self.t + r1 * h)
        return self.first() - self.t_next.neg().exp() / (2 * r1) * h.expm1() * (
            middle - start
        )

    def third(self, r1: float = 1 / 3, r2: float = 2 / 3) -> Tensor:
        start, h = self.slope("start", self.x, self.t), self.h
        one = self.slope(f"r{r1}", self._euler(r1), self.t + r1 * h)
        t_2 = self.t + r2 * h
        phi = (r2 * h).expm1() / (r2 * h) - 1
        x_2 = self._euler(r2) - t_2.neg().exp() * (r2 / r1) * phi * (one - start)
        two = self.slope(f"r{r2}", x_2, t_2)
        return self.first() - self.t_next.neg().exp() / r2 * (h.expm1() / h - 1) * (
            two - start
        )


def _range(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    lowest = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    return negative_log(sigmas[0]), negative_log(lowest)


def dpm_fast(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
) -> Tensor:
    """DPM-Solver-fast: as many evaluations as the schedule has steps, on an even grid in log sigma."""
    t_start, t_end = _range(sigmas)
    evaluations = len(sigmas) - 1
    intervals = evaluations // 3 + 1
    rest = SUB_ORDERS[evaluations % 3]
    orders = [3] * (intervals - len(rest)) + rest
    grid = torch.linspace(float(t_start), float(t_end), intervals + 1)
    for i, order in enumerate(orders[-intervals:]):
        step = _Interval(denoise, x, grid[i], grid[i + 1])
        callback(Step(i, x, grid[i].neg().exp(), step.denoised(), share=i / intervals))
        x = (
            step.first()
            if order == 1
            else step.second()
            if order == 2
            else step.third()
        )
    return x


@dataclass
class _StepSize:
    """Proportional-integral-derivative controller of the step length (k-diffusion)."""

    h: float
    exponents: tuple[float, float, float]
    accept_safety: float
    errors: tuple[float, float] | None = None

    @classmethod
    def make(
        cls,
        h: float,
        pcoeff: float,
        icoeff: float,
        dcoeff: float,
        order: float,
        accept_safety: float,
    ) -> _StepSize:
        exponents = (
            (pcoeff + icoeff + dcoeff) / order,
            -(pcoeff + 2 * dcoeff) / order,
            dcoeff / order,
        )
        return cls(h, exponents, accept_safety)

    def accepts(self, error: float) -> bool:
        inverse = 1 / (error + 1e-8)
        before, earlier = self.errors or (inverse, inverse)
        factor = math.prod(
            e**b
            for e, b in zip((inverse, before, earlier), self.exponents, strict=True)
        )
        factor = 1 + math.atan(factor - 1)
        self.h *= factor
        accepted = factor >= self.accept_safety
        self.errors = (inverse, before) if accepted else (before, earlier)
        return accepted


STOCHASTIC_ORDER = 1.5
"""Order of convergence that the step length assumes where noise is added."""


@reachable_tolerance
def dpm_adaptive(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Tensor:
    """DPM-Solver-23 or -12: steps whose length follows the difference to the order below.

    Only the ends of the schedule matter. `atol` and `rtol` are the tolerated error per element, `h_init` is the first
    step in log sigma; `eta` above 0 adds fresh noise after each step.

    Raises:
        ArithmeticError: The tolerances make the steps vanish.
    """
    t_start, t_end = _range(sigmas)
    t, before = t_start, x
    size = _StepSize.make(
        h_init,
        pcoeff,
        icoeff,
        dcoeff,
        STOCHASTIC_ORDER if eta else order,
        accept_safety,
    )
    index = 0
    while t < t_end - 1e-5:
        if not size.h > SMALLEST_STEP:
            where = f"at sigma {float(t.neg().exp()):.4g}"
            raise ArithmeticError(
                f"dpm_adaptive finds no step that is accurate enough {where}"
            )
        t_next = torch.minimum(t_end, t + size.h)
        sigma, sigma_next = t.neg().exp(), t_next.neg().exp()
        t_down, sigma_up = t_next, torch.zeros_like(t)
        if eta:
            down = ancestral_step(denoise.levels, sigma, sigma_next, eta).sigma_down
            t_down = torch.minimum(t_end, negative_log(down))
            sigma_up = (sigma_next**2 - t_down.neg().exp() ** 2).clamp(min=0).sqrt()
        step = _Interval(denoise, x, t, t_down)
        low, high = (
            (step.first(), step.second())
            if order == 2
            else (step.second(1 / 3), step.third())
        )
        tolerance = torch.maximum(
            torch.tensor(atol), rtol * torch.maximum(low.abs(), before.abs())
        )
        error = torch.linalg.norm((low - high) / tolerance) / x.numel() ** 0.5
        callback(
            Step(
                index,
                x,
                sigma,
                step.denoised(),
                share=float((t - t_start) / (t_end - t_start)),
            )
        )
        if size.accepts(float(error)):
            before, x, t = low, high, t_next
            if sigma_up > 0:
                x = x + sigma_up * s_noise * noise(sigma, sigma_next)
        index += 1
    return x
