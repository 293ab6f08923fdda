"""Nodes that say how a model was trained: what it predicts, and at which noise levels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Model
from graphflow.values.sampling_hooks import ContinuousHook, CosineHook, FlowHook, PredictionHook

from ..choices import Denoiser

__all__ = ["set_cascade_shift", "set_continuous_sampling", "set_flow_shift", "set_flux_shift", "set_prediction"]

Edge = Annotated[int, Field(ge=16, le=LIMITS.edge, description="pixels of the picture")]


@node("set_prediction", version=2, map=True)
def set_prediction(
    model: Denoiser,
    prediction: Annotated[
        Literal["epsilon", "v_prediction", "sample", "img_to_img", "lcm"],
        Field(
            description="what it predicts: the noise, the velocity v, the clean sample, the same from an input that is"
            " not scaled; lcm is a distilled model"
        ),
    ] = "epsilon",
    zero_snr: Annotated[
        bool, Field(description="trained down to a signal-to-noise ratio of zero (arXiv:2305.08891)")
    ] = False,
) -> Model:
    """Say what a Stable Diffusion model predicts, where its file does not say it or says it wrongly."""
    return model.hooked(PredictionHook(prediction=prediction, zero_snr=zero_snr))


@node("set_continuous_sampling", map=True)
def set_continuous_sampling(
    model: Denoiser,
    prediction: Annotated[
        Literal["v_prediction", "epsilon", "edm", "edm_playground_v2.5", "cosmos_rflow"],
        Field(description="what it predicts; Playground v2.5 has latents of its own, cosmos_rflow its own time"),
    ] = "v_prediction",
    sigma_max: Annotated[float, Field(gt=0, le=1000, description="highest noise level")] = 120.0,
    sigma_min: Annotated[float, Field(gt=0, le=1000, description="lowest noise level")] = 0.002,
    time: Annotated[
        Literal["log", "angle"],
        Field(description="how it is told the level: log(sigma) / 4 (EDM), or atan(sigma) * 2 / pi"),
    ] = "log",
) -> Model:
    """Say that a model was trained on a whole range of noise levels (Karras et al. 2022, arXiv:2206.00364).

    Raises:
        InvalidInputError: The range is empty.
    """
    if sigma_min >= sigma_max:
        raise InvalidInputError(f"sigma_min {sigma_min} is not below sigma_max {sigma_max}", where="sigma_min")
    return model.hooked(ContinuousHook(prediction=prediction, sigma_min=sigma_min, sigma_max=sigma_max, time=time))


@node("set_cascade_shift", map=True)
def set_cascade_shift(
    model: Denoiser,
    shift: Annotated[
        float, Field(ge=0.01, le=100, description="factor on the noise levels; larger spends more steps on noise")
    ] = 2.0,
) -> Model:
    """Set the shift of the noise levels of Stable Cascade (Hoogeboom et al. 2023, arXiv:2301.11093, equation 4)."""
    return model.hooked(CosineHook(shift=shift))


@node("set_flow_shift", version=2, map=True)
def set_flow_shift(
    model: Denoiser,
    shift: Annotated[float, Field(ge=0.01, le=100, description="1 is none; larger spends more steps on noise")] = 3.0,
    timestep_scale: Annotated[
        float | None,
        Field(gt=0, le=10000, description="the network's timestep at pure noise; none leaves it as it is"),
    ] = None,
) -> Model:
    """Set the time shift of a flow model (Esser et al. 2024, arXiv:2403.03206, section 5.3.2).

    A model that is none becomes one, which is right only if it was trained so.
    """
    return model.hooked(FlowHook(shift=shift, levels=1000, timestep_scale=timestep_scale))


@node("set_flux_shift", version=2, map=True)
def set_flux_shift(
    model: Denoiser,
    max_shift: Annotated[float, Field(ge=0, le=100, description="log of the shift for 4096 latent tokens")] = 1.15,
    base_shift: Annotated[float, Field(ge=0, le=100, description="log of the shift for 256 latent tokens")] = 0.5,
    width: Edge = 1024,
    height: Edge = 1024,
) -> Model:
    """Set the time shift of a flow model by the size of the picture, as Flux was trained; its time is the noise level."""
    from graphflow.sampling.flow_levels import flux_shift

    shift = flux_shift(width, height, base_shift=base_shift, max_shift=max_shift)
    return model.hooked(FlowHook(shift=shift, levels=10_000, timestep_scale=1.0))
