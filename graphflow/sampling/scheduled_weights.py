"""Weights that change from one conditioning entry to the next, and over the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from graphflow.values import ConditioningEntry, LoraPatch, ModelFile, ScheduledWeights
from graphflow.values.patches import MergePatch

from .evaluate import Predict
from .prediction import ModelSampling

Exchange = Callable[[], AbstractContextManager[None]]
"""Has the network compute with other weights until the block ends."""
MakeExchange = Callable[[tuple[Any, ...]], Exchange]
"""From weight patches, applied behind the model's own, to what puts the weights in place that they make."""


class ScheduledPredict:
    """A network that evaluates each entry with the weights that it asks for.

    Changed weights are kept while entries ask for them at the last noise level or at this one.

    Args:
        predict: The network.
        model_sampling: Its noise levels.
        make: Makes changed weights.
    """

    def __init__(self, predict: Predict, model_sampling: ModelSampling, make: MakeExchange) -> None:
        self._predict = predict
        self._model_sampling = model_sampling
        self._make = make
        self._level = 0.0
        self._now: dict[str, Exchange] = {}
        self._before: dict[str, Exchange] = {}

    def __call__(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor,
        variation: str | None = None,
    ) -> Tensor:
        """The network's output; see :class:`graphflow.sampling.evaluate.Predict`. Entries agree in their weights."""
        with self._weights(entries[0].weights, float(sigma)):
            return self._predict(x, timestep, entries, sigma=sigma, variation=variation)

    def _weights(self, told: Sequence[ScheduledWeights], level: float) -> AbstractContextManager[None]:
        changes = ((one, one.strength * self._factor(one, level)) for one in told)
        patches = tuple(_patch(one, strength) for one, strength in changes if strength)
        if level != self._level:
            self._before, self._now, self._level = self._now, {}, level
        if not patches:
            return nullcontext()
        name = repr(patches)
        if name not in self._now:
            self._now[name] = self._before.get(name) or self._make(patches)
        return self._now[name]()

    def _factor(self, one: ScheduledWeights, level: float) -> float:
        """The factor that holds at a noise level."""
        factors = [factor for start, factor in one.schedule if level <= self._model_sampling.percent_to_sigma(start)]
        return factors[-1] if factors else one.schedule[0][1] if one.schedule else 1.0


def _patch(told: ScheduledWeights, strength: float) -> LoraPatch | MergePatch:
    if isinstance(told.source, ModelFile):
        return LoraPatch(file=told.source, strength=strength)
    return MergePatch(other=told.source, keep=1.0 - strength, add=strength)
