"""A flow model seen as one with alpha = 1.

With y = x / (1 - sigma) and rho = sigma / (1 - sigma) a flow model obeys the same equations as a model whose
x is x0 + rho * noise, so samplers written in half log-SNR work on it unchanged (Karras et al. 2022,
arXiv:2206.00364, section 2; rho = exp(-lambda)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from .levels import Levels
from .samplers import Callback, Denoiser, Step, StepNoise

NEAR_THE_START = 1e-4
"""Sampling from sigma = 1, where rho is infinite, begins at this share of the way instead."""


def run_in_log_snr_form(
    run: Callable[..., Tensor],
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    **options: Any,
) -> Tensor:
    """Run a sampler written for alpha = 1 on a flow model; further arguments and the result are the sampler's own."""
    flow = denoise.levels
    levels = sigmas.clone()
    if levels[0] >= 1:
        levels[0] = flow.percent_to_sigma(NEAR_THE_START)
    rhos = levels / (1 - levels)
    seen = SeenAsExploding(denoise, exploding_levels(flow))

    def flow_noise(rho: Tensor, rho_next: Tensor) -> Tensor:
        return noise(sigma_at_rho(rho), sigma_at_rho(rho_next))

    def flow_callback(step: Step) -> None:
        sigma = sigma_at_rho(step.sigma)
        callback(replace(step, x=step.x * (1 - sigma), sigma=sigma))

    given = {"noise": flow_noise, "callback": flow_callback, **options}
    y = run(seen, x / (1 - levels[0]), rhos, **given)
    return y * (1 - levels[-1])


@dataclass(frozen=True)
class SeenAsExploding:
    """The flow model's denoiser, taking y and rho."""

    inner: Denoiser
    levels: Levels

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean sample."""
        level = sigma_at_rho(sigma)
        return self.inner(x * (1 - level), level)

    def with_uncond(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The clean sample, and the one of the negative conditioning."""
        level = sigma_at_rho(sigma)
        return self.inner.with_uncond(x * (1 - level), level)


def sigma_at_rho(rho: Tensor) -> Tensor:
    """The flow's noise level."""
    return rho / (1 + rho)


def exploding_levels(flow: Levels) -> Levels:
    """The flow's levels in that form."""
    sigmas = flow.sigmas.clamp(max=flow.percent_to_sigma(NEAR_THE_START))
    return Levels(sigmas / (1 - sigmas))
