"""Guidance: how the predictions with the positive and the negative conditioning become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .prediction import ModelSampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What is known about one step when guidance acts. All tensors are float32, (B, C, ...).

    Attributes:
        x: noisy latent.
        sigma: its noise level, scalar.
        cond: clean sample predicted with the positive conditioning.
        uncond: the same with the negative one; `cond` itself where that was not evaluated.
        model_sampling: how the model is parameterised.
        vary: clean sample with the positive conditioning and a variation of the network that the family
            knows by name (for example perturbed attention); costs one evaluation.
    """

    x: Tensor
    sigma: Tensor
    cond: Tensor
    uncond: Tensor
    model_sampling: ModelSampling
    vary: Callable[[str], Tensor]


class Guider(Protocol):
    """Combines predictions into the clean sample that the sampler sees."""

    @property
    def needs_uncond(self) -> bool:
        """Whether the negative conditioning has to be evaluated."""
        ...

    def __call__(self, predictions: Predictions) -> Tensor:
        """The guided clean sample, (B, C, ...)."""
        ...


@dataclass(frozen=True, kw_only=True)
class ClassifierFree:
    """Classifier-free guidance, uncond + scale * (cond - uncond) (Ho and Salimans 2022, arXiv:2207.12598).

    Attributes:
        scale: 1 follows the positive conditioning alone and skips the negative one.
    """

    scale: float = 7.5

    @property
    def needs_uncond(self) -> bool:
        """False at scale 1 only."""
        return self.scale != 1.0

    def __call__(self, predictions: Predictions) -> Tensor:
        """The guided clean sample, (B, C, ...)."""
        if not self.needs_uncond:
            return predictions.cond
        return predictions.uncond + (predictions.cond - predictions.uncond) * self.scale


@dataclass(frozen=True, kw_only=True)
class Rescaled:
    """Classifier-free guidance whose result keeps the spread of the conditional velocity (Lin et al. 2023).

    arXiv:2305.08891, section 3.4: the guided v prediction is scaled to the standard deviation of the
    conditional one and mixed with the unscaled one.

    Attributes:
        scale: guidance scale.
        multiplier: share of the rescaled result, 0 to 1.
    """

    scale: float = 7.5
    multiplier: float = 0.7

    @property
    def needs_uncond(self) -> bool:
        """False at scale 1 only."""
        return self.scale != 1.0

    def __call__(self, predictions: Predictions) -> Tensor:
        """The guided clean sample, (B, C, ...)."""
        s = predictions.sigma
        norm = (s**2 + 1.0) ** 0.5
        x = predictions.x / (s**2 + 1.0)

        def velocity(denoised: Tensor) -> Tensor:
            return (x - denoised) * norm / s

        cond, uncond = velocity(predictions.cond), velocity(predictions.uncond)
        guided = uncond + (cond - uncond) * self.scale
        dims = tuple(range(1, guided.ndim))
        factor = cond.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True)
        mixed = self.multiplier * (guided * factor) + (1.0 - self.multiplier) * guided
        return x - mixed * s / norm


@dataclass(frozen=True, kw_only=True)
class WithVariation:
    """Guidance away from a weakened network: guided + scale * (cond - varied).

    Perturbed-attention guidance (Ahn et al. 2024, arXiv:2403.17377) and skip-layer guidance take this form.

    Attributes:
        inner: the guidance it adds to.
        variation: name of the weakened network, known to the model's family.
        scale: weight.
        start: share of sampling at which it begins, 0 to 1.
        end: share of sampling at which it ends, 0 to 1.
    """

    inner: Guider
    variation: str
    scale: float
    start: float = 0.0
    end: float = 1.0

    @property
    def needs_uncond(self) -> bool:
        """As the inner guidance."""
        return self.inner.needs_uncond

    def __call__(self, predictions: Predictions) -> Tensor:
        """The guided clean sample, (B, C, ...)."""
        guided = self.inner(predictions)
        high = predictions.model_sampling.percent_to_sigma(self.start)
        low = predictions.model_sampling.percent_to_sigma(self.end)
        if self.scale == 0.0 or not low <= float(predictions.sigma) <= high:
            return guided
        return guided + (predictions.cond - predictions.vary(self.variation)) * self.scale
