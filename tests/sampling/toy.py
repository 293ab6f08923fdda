"""Models with known answers: data whose every element is normal with mean MEAN and deviation SPREAD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.samplers import SAMPLERS, Step
from graphflow.sampling.variance_exploding import run_in_log_snr_form
from graphflow.values import Conditioning, ConditioningEntry

MEAN, SPREAD = 0.5, 1.5

DISCRETE = ModelSampling.stable_diffusion()
FLOW = ModelSampling.flow(3.0)


@dataclass(frozen=True)
class GaussianData:
    """The exact denoiser of such data, E[x0 | x]."""

    model_sampling: ModelSampling

    @property
    def levels(self) -> ModelSampling:
        return self.model_sampling

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        alpha = self.model_sampling.alpha(sigma)
        gain = alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)
        return MEAN + gain * (x - alpha * MEAN)

    def with_uncond(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        denoised = self(x, sigma)
        return denoised, denoised

    def at(self, sigma: Tensor, z: Tensor) -> Tensor:
        """Where the probability flow brings the element that is `z` deviations from the mean."""
        alpha = self.model_sampling.alpha(sigma)
        return alpha * MEAN + (alpha**2 * SPREAD**2 + sigma**2).sqrt() * z


def no_noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
    raise AssertionError("a deterministic method drew noise")


def run(
    name: str,
    x: Tensor,
    sigmas: Tensor,
    model_sampling: ModelSampling,
    noise: Callable[[Tensor, Tensor], Tensor] = no_noise,
    callback: Callable[[Step], None] = lambda step: None,
) -> Tensor:
    """Run a sampler on Gaussian data."""
    sampler, denoise = SAMPLERS[name], GaussianData(model_sampling)
    if sampler.log_snr_form and model_sampling.is_flow:
        return run_in_log_snr_form(sampler.run, denoise, x, sigmas, noise=noise, callback=callback)
    return sampler.run(denoise, x, sigmas, noise=noise, callback=callback)


@dataclass
class RecordingModel:
    """A network that predicts noise 0.1 * x plus the mean of its entry's embedding, and notes every call."""

    calls: list[tuple[tuple[int, ...], tuple[ConditioningEntry, ...], str | None]] = field(default_factory=list)

    def __call__(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor,
        variation: str | None = None,
    ) -> Tensor:
        self.calls.append((tuple(x.shape), tuple(entries), variation))
        assert timestep.shape == (len(x),)
        pushes = torch.stack([entry.embedding.mean() for entry in entries])
        repeats = len(x) // len(entries)
        factor = 0.1 if variation is None else 0.3
        return factor * x + pushes.repeat_interleave(repeats).reshape(-1, *(1,) * (x.ndim - 1))


def entry(value: float, tokens: int = 3, **fields: object) -> ConditioningEntry:
    return ConditioningEntry(embedding=torch.full((1, tokens, 2), value), **fields)  # type: ignore[arg-type]


def conditioning(*entries: ConditioningEntry) -> Conditioning:
    return Conditioning(entries=entries)
