"""Schedules found by optimisation for a model family (Sabour et al. 2024, "Align Your Steps", arXiv:2404.14507)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from .prediction import ModelSampling
from .published import ALIGN_YOUR_STEPS_LEVELS, ALIGN_YOUR_STEPS_TIMESTEPS


def _levels() -> dict[str, Tensor]:
    sigmas = ModelSampling.stable_diffusion().sigmas
    found = {name: sigmas[torch.tensor(steps)] for name, steps in ALIGN_YOUR_STEPS_TIMESTEPS.items()}
    return found | {name: torch.tensor(levels) for name, levels in ALIGN_YOUR_STEPS_LEVELS.items()}


ALIGN_YOUR_STEPS: Mapping[str, Tensor] = MappingProxyType(_levels())
"""(11,) noise levels for ten steps by the names of :data:`~graphflow.sampling.published.ALIGN_YOUR_STEPS_NAMES`."""
