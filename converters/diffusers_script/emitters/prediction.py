"""What a model predicts, and at which noise levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..models import ModelPart
from ..script import UnsupportedError
from .base import Emission, Emitter

STANDARD: Mapping[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
}
"""The config of a scheduler with the noise levels of Stable Diffusion."""


def set_prediction(emission: Emission) -> ModelPart:
    """The levels of Stable Diffusion with another meaning of what the network gives."""
    model, prediction = emission.part("model"), emission.fixed("prediction")
    if prediction == "lcm":
        raise UnsupportedError("models that are distilled for few steps (lcm) are told timesteps of their own")
    wanted = {**STANDARD, "prediction_type": prediction, "rescale_betas_zero_snr": emission.fixed("zero_snr")}
    config = {**STANDARD, **model.base.description.scheduler}
    changes = {name: value for name, value in wanted.items() if config[name] != value}
    return replace(model, base=replace(model.base, options=tuple(changes.items())))


EMITTERS: dict[str, Emitter] = {"set_prediction": set_prediction}
