"""Schedules found by optimisation for a model family (Sabour et al. 2024, "Align Your Steps", arXiv:2404.14507)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from .prediction import ModelSampling

_TIMESTEPS = {
    "sd": (999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0),
    "sdxl": (999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0),
}
_VIDEO_LEVELS = (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002)


def _levels() -> dict[str, Tensor]:
    sigmas = ModelSampling.stable_diffusion().sigmas
    found = {name: sigmas[torch.tensor(steps)] for name, steps in _TIMESTEPS.items()}
    return {**found, "svd": torch.tensor(_VIDEO_LEVELS)}


ALIGN_YOUR_STEPS: Mapping[str, Tensor] = MappingProxyType(_levels())
"""(11,) noise levels for ten steps by model family: SD 1.x, SDXL, Stable Video Diffusion."""
