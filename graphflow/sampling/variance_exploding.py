"""A flow model seen as one with alpha = 1.

With y = x / (1 - sigma) and rho = sigma / (1 - sigma) a flow model obeys the same equations as a model whose
x is x0 + rho * noise, so samplers written in half log-SNR work on it unchanged (Karras et al. 2022,
arXiv:2206.00364, section 2; rho = exp(-lambda)).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from .levels import Levels
from .samplers import Callback, Denoiser, Sampler, Step, StepNoise

NEARLY_PURE_NOISE = 1e-4
"""Sampling from sigma = 1, where rho is infinite, begins at this share of the way instead."""


def run_in_log_snr_form(
    sampler: Sampler, denoise: Denoiser, x: Tensor, sigmas: Tensor, *, noise: StepNoise, callback: Callback
) -> Tensor:
    """Run a sampler written for alpha = 1 on a flow model; arguments and result as the sampler's own."""
    flow = denoise.levels
    levels = sigmas.clone()
    if levels[0] >= 1:
        levels[0] = flow.percent_to_sigma(NEARLY_PURE_NOISE)
    rhos = levels / (1 - levels)
    seen = _Seen(denoise, _as_variance_exploding(flow))

    def flow_noise(rho: Tensor, rho_next: Tensor) -> Tensor:
        return noise(_sigma(rho), _sigma(rho_next))

    def flow_callback(step: Step) -> None:
        sigma = _sigma(step.sigma)
        callback(replace(step, x=step.x * (1 - sigma), sigma=sigma))

    y = sampler.run(seen, x / (1 - levels[0]), rhos, noise=flow_noise, callback=flow_callback)
    return y * (1 - levels[-1])


@dataclass(frozen=True)
class _Seen:
    """The flow model's denoiser, taking y and rho."""

    inner: Denoiser
    levels: Levels

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = _sigma(sigma)
        return self.inner(x * (1 - level), level)

    def with_uncond(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        level = _sigma(sigma)
        return self.inner.with_uncond(x * (1 - level), level)


def _sigma(rho: Tensor) -> Tensor:
    return rho / (1 + rho)


def _as_variance_exploding(flow: Levels) -> Levels:
    sigmas = flow.sigmas.clamp(max=flow.percent_to_sigma(NEARLY_PURE_NOISE))
    return Levels(sigmas / (1 - sigmas))
