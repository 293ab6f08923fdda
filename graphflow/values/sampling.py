"""The parts of sampling as they travel on links: noise levels, solver, random numbers, guidance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from graphflow.values.conditioning import Conditioning
from graphflow.values.models import Model
from graphflow.values.types import value_type

if TYPE_CHECKING:
    import torch

__all__ = ["Guider", "Noise", "Sampler", "Sigmas"]


@value_type("sigmas")
@dataclass(frozen=True, kw_only=True, eq=False)
class Sigmas:
    """A schedule: (steps + 1,) noise levels, falling."""

    values: torch.Tensor


@value_type("sampler")
@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A sampling method.

    Attributes:
        name: A name of ``graphflow.sampling.names.SAMPLER_NAMES``.
        options: Its options, e.g. ``{"eta": 0.5}``.
        detail: The curve by which the model is told of less noise than there is, see ``graphflow.sampling.detail``; empty
            leaves it. ``strength`` is a factor on it; None takes the scale of guidance.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


@value_type("noise")
@dataclass(frozen=True, kw_only=True)
class Noise:
    """Where sampling takes its random numbers from.

    Attributes:
        seed: 0 to 2**64 - 1.
        add: Whether the latent gets noise before the first step; what samplers add at each step is not meant.
        layout: ``per_sample`` or ``batch``, see ``graphflow.sampling.noise.NoiseLayout``.
        device: Whose stream the first noise is, ``cpu`` or ``cuda``.
        step_device: Whose stream the noise of each step is.
        step_noise: Where the noise of steps starts, ``seed`` or ``seed + 1``, see ``graphflow.sampling.noise.StepSeed``.
    """

    seed: int = 0
    add: bool = True
    layout: Literal["per_sample", "batch"] = "per_sample"
    device: Literal["cpu", "cuda"] = "cpu"
    step_device: Literal["cpu", "cuda"] = "cpu"
    step_noise: Literal["seed", "seed + 1"] = "seed"


@value_type("guider")
@dataclass(frozen=True, kw_only=True, eq=False)
class Guider:
    """A model under its conditionings, and how their predictions become one.

    Attributes:
        model: The model.
        method: ``unguided``, ``classifier_free``, ``dual_classifier_free`` or ``perpendicular_negative``.
        sides: The conditionings by name: ``positive``, ``negative``, ``middle``, ``empty``, as the method needs.
        options: The method's scales and switches.
    """

    model: Model
    method: str
    sides: Mapping[str, Conditioning]
    options: Mapping[str, float] = field(default_factory=dict)
