"""Latents of any number of axes, or of several tensors, as the (B, C, h, w) that samplers and masks know.

Samplers treat every number alike, so a latent with one axis (sound) becomes a plane of height 1, and a set of tensors
(a video with its sound) one long row; the network gets each tensor in its own shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.values import ConditioningEntry

from .network import Denoiser

MAIN = "samples"
"""The name of a latent's first tensor in a set."""


@dataclass(frozen=True)
class Planes:
    """How tensors lie in a plane.

    Attributes:
        shapes: Names and shapes (C, ...) of the tensors, the main one first.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, samples: Tensor, further: Mapping[str, Tensor]) -> Planes:
        """Return how a latent's tensors, (B, C, ...) each, are laid."""
        return cls(tuple((name, tuple(tensor.shape[1:])) for name, tensor in {MAIN: samples, **further}.items()))

    @property
    def changes(self) -> bool:
        """Whether the plane has another shape than the latent."""
        return len(self.shapes) > 1 or len(self.shapes[0][1]) < 3

    def lay(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return tensors (B, C, ...) as one plane (B, C, h, w)."""
        if not self.changes:
            return tensors[MAIN]
        if len(self.shapes) == 1:
            return tensors[MAIN].unsqueeze(-2)
        return torch.cat([tensors[name].flatten(1) for name, _ in self.shapes], dim=1)[:, None, None]

    def lift(self, plane: Tensor) -> dict[str, Tensor]:
        """Return the tensors of a plane, (B, C, ...) each."""
        if not self.changes:
            return {MAIN: plane}
        if len(self.shapes) == 1:
            return {MAIN: plane.squeeze(-2)}
        parts = plane.flatten(1).split([math.prod(shape) for _, shape in self.shapes], dim=1)
        return {name: part.unflatten(1, shape) for (name, shape), part in zip(self.shapes, parts, strict=True)}


@dataclass(frozen=True)
class OnPlanes:
    """A network that reads one tensor or a set, as a function of planes.

    Attributes:
        network: The network; where there are several tensors, its `predict_set` gets them by name.
        planes: How they lie.
    """

    network: Denoiser
    planes: Planes

    def __call__(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor,
        variation: str | None = None,
    ) -> Tensor:
        """Return the network's output for planes (n * B, C, h, w); see :class:`graphflow.sampling.evaluate.Predict`."""
        given = self.planes.lift(x)
        if len(given) == 1:
            found = {MAIN: self.network.predict(given[MAIN], timestep, entries, sigma=sigma, variation=variation)}
        else:
            found = dict(self.network.predict_set(given, timestep, entries, sigma=sigma, variation=variation))
        return self.planes.lay({name: tensor.float() for name, tensor in found.items()})
