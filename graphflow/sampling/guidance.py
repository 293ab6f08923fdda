"""Guidance: how the predictions under several conditionings become the one that the sampler sees.

A guider has the formula. Modifiers change what goes into it and what comes out, in three stages: all `before`, the
guider, all `combine`, all `after`, each stage in the order in which the modifiers were put on the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from torch import Tensor

from .levels import Levels

POSITIVE = "positive"
NEGATIVE = "negative"


class Evaluate(Protocol):
    """Asks the network again; costs one evaluation."""

    def __call__(
        self,
        side: str = POSITIVE,
        *,
        x: Tensor | None = None,
        sigma: Tensor | None = None,
        variation: Any = None,
    ) -> Tensor:
        """The clean sample (B, C, ...) predicted under the conditioning of one side.

        Args:
            side: "positive", "negative", or a further side of the guider.
            x: another noisy latent than the step's.
            sigma: its noise level.
            variation: what changes the network; by its name, where a loaded model knows it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What is known about one step when guidance acts. All tensors are float32, (B, C, ...).

    Attributes:
        x: noisy latent.
        sigma: its noise level, scalar.
        cond: clean sample predicted with the positive conditioning.
        uncond: the same with the negative one; `cond` itself where that was not evaluated.
        scale: guidance scale of the guider.
        levels: the model's noise levels.
        evaluate: asks the network again.
        others: the guider's further sides, by name.
    """

    x: Tensor
    sigma: Tensor
    cond: Tensor
    uncond: Tensor
    scale: float
    levels: Levels
    evaluate: Evaluate
    others: Mapping[str, Tensor] = field(default_factory=dict)

    def active(self, start: float, end: float) -> bool:
        """Whether this step lies between two shares of sampling, 0 (pure noise) to 1 (the picture)."""
        return lies_between(self.levels, self.sigma, start, end)


def lies_between(levels: Levels, sigma: Tensor, start: float, end: float) -> bool:
    """Whether a noise level lies between two shares of sampling, 0 (pure noise) to 1 (the picture)."""
    highest, lowest = levels.percent_to_sigma(start), levels.percent_to_sigma(end)
    return lowest <= float(sigma) <= highest


class Guider(Protocol):
    """Combines predictions into one."""

    @property
    def sides(self) -> tuple[str, ...]:
        """Names of the conditionings to evaluate at each step."""
        ...

    @property
    def scale(self) -> float:
        """How strongly the positive conditioning is followed; 1 is no guidance."""
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
    def sides(self) -> tuple[str, ...]:
        """Both, but at scale 1 the positive one only."""
        return (POSITIVE,) if self.scale == 1.0 else (POSITIVE, NEGATIVE)

    def __call__(self, predictions: Predictions) -> Tensor:
        """The guided clean sample, (B, C, ...)."""
        if predictions.scale == 1.0:
            return predictions.cond
        cond, uncond = predictions.cond, predictions.uncond
        return uncond + (cond - uncond) * predictions.scale


class Modifier:
    """Changes guidance. One is made for each run, so it may remember earlier steps of it.

    Attributes:
        needs_uncond: whether the negative side has to be evaluated even at a guidance scale of 1.
        spans_batch: whether what it does to an item depends on the others, so that several samplings are never one batch.
    """

    needs_uncond: bool = False
    spans_batch: bool = False

    def guides(self, levels: Levels, sigma: Tensor) -> bool:
        """Whether there is guidance at a noise level; where not, only the positive side is evaluated and followed."""
        return True

    def before(self, predictions: Predictions) -> Predictions:
        """Change the predictions, or the scale, that the guider sees."""
        return predictions

    def combine(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """Change what the guider's formula gave, (B, C, ...)."""
        return guided

    def after(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """Add to the guided clean sample, (B, C, ...)."""
        return guided


def guide(guider: Guider, modifiers: Sequence[Modifier], predictions: Predictions) -> tuple[Tensor, Tensor]:
    """The guided clean sample and the unconditional one that it started from."""
    for modifier in modifiers:
        predictions = modifier.before(predictions)
    guided = guider(predictions)
    for modifier in modifiers:
        guided = modifier.combine(predictions, guided)
    for modifier in modifiers:
        guided = modifier.after(predictions, guided)
    return guided, predictions.uncond


def match_spread(tensor: Tensor, model: Tensor, share: float) -> Tensor:
    """`tensor` with a share of its standard deviation's excess over `model`'s taken away, item by item.

    Lin et al. 2023, arXiv:2305.08891, section 3.4.
    """
    options: dict[str, Any] = {"dim": tuple(range(1, tensor.ndim)), "keepdim": True}
    factor = model.std(**options) / tensor.std(**options)
    return share * (tensor * factor) + (1.0 - share) * tensor


@dataclass(kw_only=True)
class AwayFromVariation(Modifier):
    """Guidance away from a weakened network: guided + scale * (cond - varied).

    Perturbed-attention guidance (Ahn et al. 2024, arXiv:2403.17377) and skip-layer guidance take this form.

    Attributes:
        variation: what `evaluate` knows the weakened network by.
        scale: weight.
        start: share of sampling at which it begins, 0 to 1.
        end: share of sampling at which it ends, 0 to 1.
        rescale: share of the result's standard deviation that is brought back to the conditional prediction's.
    """

    variation: object
    scale: float
    start: float = 0.0
    end: float = 1.0
    rescale: float = 0.0

    def after(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The guided clean sample, (B, C, ...)."""
        if self.scale == 0.0 or not predictions.active(self.start, self.end):
            return guided
        varied = predictions.evaluate(POSITIVE, variation=self.variation)
        moved = guided + (predictions.cond - varied) * self.scale
        if not self.rescale:
            return moved
        return match_spread(moved, predictions.cond, self.rescale)


@dataclass(kw_only=True)
class VariedNegative(Modifier):
    """The negative prediction made by a weakened network; without a negative side there is nothing to do.

    Attributes:
        variation: what `evaluate` knows the weakened network by.
        start: share of sampling at which it begins, 0 to 1.
        end: share of sampling at which it ends, 0 to 1.
    """

    variation: object
    start: float = 0.0
    end: float = 1.0

    def before(self, predictions: Predictions) -> Predictions:
        """The predictions with another negative one."""
        acts = predictions.active(self.start, self.end)
        if predictions.uncond is predictions.cond or not acts:
            return predictions
        uncond = predictions.evaluate(NEGATIVE, variation=self.variation)
        return replace(predictions, uncond=uncond)
