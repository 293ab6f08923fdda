"""Noise levels of models, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FlowTimes:
    """Noise levels of a flow model.

    Attributes:
        shift: Time shift; 1 is none.
        levels: Number of levels in the table from which the simple schedules choose.
        timestep_scale: The network's timestep at pure noise.
    """

    shift: float = 1.0
    levels: int = 1000
    timestep_scale: float = 1.0

    @classmethod
    def of_schedule(cls, config: Mapping[str, Any]) -> FlowTimes:
        """Those that the config of a Diffusers scheduler tells, with the shift for a megapixel where it depends on the size."""
        levels = int(config.get("num_train_timesteps", 1000))
        if config.get("use_dynamic_shifting"):
            shift = math.exp(float(config.get("max_shift") or 1.15))
            return cls(shift=shift, levels=10 * levels, timestep_scale=1000.0)
        shift = float(config.get("shift") or config.get("flow_shift") or 1.0)
        return cls(shift=shift, levels=levels, timestep_scale=1000.0)


@dataclass(frozen=True)
class CosineTimes:
    """Noise levels of a cosine schedule.

    Attributes:
        shift: Factor on sigma; 1 is none.
    """

    shift: float = 1.0


@dataclass(frozen=True)
class LogTimes:
    """Noise levels even in log sigma.

    Attributes:
        sigma_min: The lowest.
        sigma_max: The highest.
    """

    sigma_min: float
    sigma_max: float


OtherTimes = CosineTimes | LogTimes
"""Noise levels of models that are none on a flow."""
