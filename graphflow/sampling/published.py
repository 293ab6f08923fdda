"""Schedules as papers publish them. This module imports nothing.

The keys are the papers' own names of what a schedule was found for, from which the user chooses; which model it is used
with is left to the user, so that they stand here and not with a family.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

ALIGN_YOUR_STEPS_TIMESTEPS: Final = MappingProxyType(
    {
        "sd": (999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0),
        "sdxl": (999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0),
    }
)
"""(11,) training timesteps of Stable Diffusion's noise schedule for ten steps (Sabour et al. 2024, arXiv:2404.14507)."""

ALIGN_YOUR_STEPS_LEVELS: Final = MappingProxyType(
    {"svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002)}
)
"""(11,) noise levels for ten steps of models that were not trained on that schedule, from the same paper."""

ALIGN_YOUR_STEPS_NAMES: Final[tuple[str, ...]] = (*ALIGN_YOUR_STEPS_TIMESTEPS, *ALIGN_YOUR_STEPS_LEVELS)
