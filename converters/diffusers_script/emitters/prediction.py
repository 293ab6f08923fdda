"""What a model predicts, and at which noise levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..families import flow_of
from ..flows import is_flow, times_of
from ..graph import Given
from ..layout import call, flat
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
    if flow_of(model.base) is not None:
        raise UnsupportedError("a model of another family becomes one of Stable Diffusion's kind in no script")
    if prediction == "lcm":
        raise UnsupportedError("models that are distilled for few steps (lcm) are told timesteps of their own")
    wanted = {**STANDARD, "prediction_type": prediction, "rescale_betas_zero_snr": emission.fixed("zero_snr")}
    config = {**STANDARD, **model.base.description.scheduler}
    changes = {name: value for name, value in wanted.items() if config[name] != value}
    return replace(model, base=replace(model.base, options=tuple(changes.items())))


def set_flow_shift(emission: Emission) -> ModelPart:
    """Another time shift, by its size."""
    model = emission.part("model")
    _require_flow(model)
    scale = emission.inputs["timestep_scale"]
    told = times_of(model)[2] if isinstance(scale, Given) and scale.value is None else emission.value("timestep_scale")
    return replace(model, times=(emission.value("shift"), "1000", told))


def set_flux_shift(emission: Emission) -> ModelPart:
    """Another time shift, by the size of the picture."""
    model = emission.part("model")
    _require_flow(model)
    edges = [emission.value(name) for name in ("width", "height")]
    emission.script.need("flux_shift")
    shift = flat(call("flux_shift", *edges, **emission.options(base_shift=0.5, max_shift=1.15)))
    return replace(model, times=(shift, "10000", "1.0"))


def set_cascade_shift(emission: Emission) -> ModelPart:
    """Another shift of a cosine schedule."""
    model = emission.part("model")
    flow = flow_of(model.base)
    if flow is None or flow.levels != "CosineLevels":
        raise UnsupportedError("a model of another family gets the noise levels of Stable Cascade in no script")
    return replace(model, times=(emission.value("shift"),))


def _require_flow(model: ModelPart) -> None:
    if not is_flow(model.base):
        raise UnsupportedError("a model that is none on a flow becomes one in no script")


EMITTERS: dict[str, Emitter] = {
    "set_prediction": set_prediction,
    "set_flow_shift": set_flow_shift,
    "set_flux_shift": set_flux_shift,
    "set_cascade_shift": set_cascade_shift,
}
