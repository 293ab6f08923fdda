"""How a diffusion model is parameterised: its noise levels and what its output means.

Throughout the sampling package a noisy latent is x = alpha * x0 + sigma * noise. Models trained to
predict noise or velocity are scaled so that alpha = 1 and sigma runs from about 0.03 to 14.6 ("variance
exploding" form, Karras et al. 2022, arXiv:2206.00364); flow models keep alpha = 1 - sigma with sigma in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor

from graphflow.modelfiles.flow_times import FlowTimes

from .continuous_levels import CosineLevels, LogLevels, share_of_range
from .errors import SamplingError
from .flow_levels import FlowLevels
from .levels import Levels, training_sigmas

Prediction = Literal["epsilon", "v_prediction", "sample", "img_to_img", "edm", "lcm", "flow", "cosmos_rflow"]
"""What a network predicts: the noise; the velocity v (Salimans and Ho 2022, arXiv:2202.00512); the clean sample; the same
from an input that is not scaled; F of Karras et al. 2022 (arXiv:2206.00364, table 1); the noise, under the boundary
condition of consistency models (Luo et al. 2023, arXiv:2310.04378); the flow velocity noise - x0; the same from
x / (1 + sigma), which lets a flow model run on the levels of the others (Cosmos, arXiv:2501.03575)."""

Time = Literal["step", "log", "angle", "share"]
"""How the network is told the noise level: the nearest training step, log(sigma) / 4, atan(sigma) * 2 / pi, or
sigma / (1 + sigma)."""

LCM_STEPS = 50
"""Steps of the solver that latent consistency models were distilled from."""

_LCM_SIGMA_DATA, _LCM_TIME_SCALE = 0.5, 10.0


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelSampling(Levels):
    """Noise levels of a model, flow models among them, and the meaning of its output.

    Attributes:
        prediction: what the network predicts.
        sigmas: (T,) float32, ascending, one per training timestep, or per `stride` of them.
        log_sigmas: (T,) float32, their logarithms.
        shift: sigma = shift * t / (1 + (shift - 1) * t) for flow models (Esser et al. 2024,
            arXiv:2403.03206); of a cosine schedule sigma is multiplied by it; 1 elsewhere.
        timestep_scale: the network's timestep at t = 1 of a flow model.
        time: how the network is told the level; flow models have their own way.
        sigma_data: standard deviation of the data that the input is scaled with.
        stride: training timesteps between two of `sigmas`.
    """

    prediction: Prediction
    sigmas: Tensor
    log_sigmas: Tensor
    shift: float = 1.0
    timestep_scale: float = 1000.0
    time: Time = "step"
    sigma_data: float = 1.0
    stride: int = 1

    @classmethod
    def from_betas(cls, betas: Tensor, prediction: Prediction = "epsilon", *, zero_snr: bool = False) -> ModelSampling:
        """Noise levels of a discrete model from its variance schedule.

        Args:
            betas: (T,) variances added at each training step.
            prediction: what the network predicts; not "flow".
            zero_snr: rescale to a zero terminal signal-to-noise ratio (Lin et al. 2023, arXiv:2305.08891).
        """
        sigmas = training_sigmas({"trained_betas": betas, "rescale_betas_zero_snr": zero_snr})
        return cls(prediction=prediction, sigmas=sigmas.float(), log_sigmas=sigmas.log().float())

    @classmethod
    def stable_diffusion(
        cls, prediction: Prediction = "epsilon", *, zero_snr: bool = False, linear: bool = False
    ) -> ModelSampling:
        """Noise levels of Stable Diffusion 1, 2 and XL: "scaled linear" variances 0.00085 to 0.012, 1000 steps.

        Args:
            prediction: what the network predicts.
            zero_snr: whether the last level is pure noise.
            linear: whether the variances rise linearly, not their roots.
        """
        schedule = "linear" if linear else "scaled_linear"
        sigmas = training_sigmas({"rescale_betas_zero_snr": zero_snr, "beta_schedule": schedule})
        return cls(prediction=prediction, sigmas=sigmas.float(), log_sigmas=sigmas.log().float())

    @classmethod
    def flow(cls, shift: float = 1.0, *, levels: int = 1000, timestep_scale: float = 1000.0) -> ModelSampling:
        """Noise levels of a rectified-flow model (SD3, Flux and kin).

        Args:
            shift: time shift, at least 1 in practice; Flux gives exp(mu).
            levels: number of noise levels in the table from which the simple schedules choose.
            timestep_scale: the network's timestep at t = 1.
        """
        if shift <= 0:
            raise SamplingError(f"a flow model's shift must be above 0, got {shift}", advice="1 means no shift")
        made = FlowLevels(shift, levels, timestep_scale)
        return FlowSampling(
            prediction="flow",
            sigmas=made.sigmas,
            log_sigmas=made.log_sigmas,
            shift=shift,
            timestep_scale=timestep_scale,
        )

    @classmethod
    def continuous(
        cls, prediction: Prediction, sigma_min: float, sigma_max: float, *, time: Time = "log", levels: int = 1000
    ) -> ModelSampling:
        """Noise levels of a model trained on all levels of a range, even in log sigma.

        Args:
            prediction: what the network predicts; not "flow" or "lcm".
            sigma_min: lowest level, above 0.
            sigma_max: highest level.
            time: how the network is told the level; "cosmos_rflow" has its own way.
            levels: number of noise levels in the table from which the simple schedules choose.

        Raises:
            SamplingError: the range is empty.
        """
        if not 0 < sigma_min < sigma_max:
            raise SamplingError(f"sigma_min {sigma_min} and sigma_max {sigma_max} do not bound a range above 0")
        made, told = LogLevels(sigma_min, sigma_max, levels), "share" if prediction == "cosmos_rflow" else time
        return (LogSampling if told == "log" else cls)(
            prediction=prediction,
            sigmas=made.sigmas,
            log_sigmas=made.log_sigmas,
            time=told,
            sigma_data=0.5 if prediction == "edm" else 1.0,
        )

    @classmethod
    def cosine(cls, shift: float = 1.0, *, levels: int = 10_000) -> ModelSampling:
        """Noise levels of Stable Cascade: the cosine schedule, shifted (Hoogeboom et al. 2023, arXiv:2301.11093).

        Args:
            shift: factor on sigma; above 0.
            levels: number of noise levels in the table from which the simple schedules choose.
        """
        if shift <= 0:
            raise SamplingError(f"a shift must be above 0, got {shift}", advice="1 means no shift")
        made = CosineLevels(shift, levels)
        return CosineSampling(prediction="epsilon", sigmas=made.sigmas, log_sigmas=made.log_sigmas, shift=shift)

    @classmethod
    def from_scheduler_config(cls, config: Mapping[str, Any]) -> ModelSampling:
        """Read a Diffusers `scheduler_config.json`.

        Flow schedulers are recognised by class name, `prediction_type` or `use_flow_sigmas`. Dynamic
        shifting uses `max_shift` (the value for about a megapixel) at every size.

        Raises:
            SamplingError: the prediction type or the beta schedule is unknown.
        """
        name = str(config.get("_class_name", ""))
        kind = config.get("prediction_type", "epsilon")
        if "Flow" in name or kind == "flow_prediction" or config.get("use_flow_sigmas"):
            return cls.flow(**asdict(FlowTimes.of_schedule(config)))
        if name == "DDPMWuerstchenScheduler":
            return cls.cosine(float(config.get("shift", 1.0)))
        if name.startswith("EDM") and kind in ("epsilon", "v_prediction"):
            low, high = float(config.get("sigma_min") or 0.002), float(config.get("sigma_max") or 80.0)
            return cls.continuous("edm" if kind == "epsilon" else "v_prediction", low, high)
        if kind not in ("epsilon", "v_prediction", "sample"):
            raise SamplingError(
                f"prediction type {kind!r} is not supported",
                advice="use epsilon, v_prediction, sample or flow_prediction",
            )
        sigmas = training_sigmas({**config, "trained_betas": _betas(config)})
        return cls(prediction=cast(Prediction, kind), sigmas=sigmas.float(), log_sigmas=sigmas.log().float())

    def distilled(self, steps: int = LCM_STEPS) -> ModelSampling:
        """A latent consistency model made from this one: every T / `steps`-th level, and its boundary condition.

        Their logarithms are those of the levels in float32, which decides between two that are as near.
        """
        stride = len(self.sigmas) // steps
        levels = self.sigmas[stride - 1 :: stride]
        return replace(self, prediction="lcm", sigmas=levels, log_sigmas=levels.double().log().float(), stride=stride)

    def timestep(self, sigma: Tensor) -> Tensor:
        """The network's timestep at noise levels `sigma` (any shape).

        Discrete models get the nearest training step in log sigma (int64); flow models sigma times
        `timestep_scale` (float32); others what `time` says (float32).
        """
        if self.time == "angle":
            return sigma.atan() / math.pi * 2
        if self.time == "share":
            return sigma / (sigma + 1.0)
        return super().timestep(sigma) * self.stride + self.stride - 1

    def sigma(self, timestep: Tensor) -> Tensor:
        """The noise level at (possibly fractional) timesteps, linear in log sigma between training steps."""
        if self.time == "angle":
            return (timestep * math.pi / 2).tan()
        if self.time == "share":
            return timestep / (1.0 - timestep)
        return super().sigma((timestep.float() - (self.stride - 1)) / self.stride)

    def percent_to_sigma(self, percent: float) -> float:
        """The noise level at a fraction of the way from pure noise (0) to the picture (1)."""
        if not 0.0 < percent < 1.0:
            return super().percent_to_sigma(percent)
        if self.time != "step":
            return share_of_range(self, percent)
        return float(self.sigma(torch.tensor((1.0 - percent) * (len(self.sigmas) * self.stride - 1))))

    def scale_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """What the network expects at its input: x itself for flow, unit variance for most others."""
        match self.prediction:
            case "flow" | "img_to_img":
                return x
            case "cosmos_rflow":
                return x / (_like(sigma, x) + 1.0)
            case _:
                return x / (_like(sigma, x) ** 2 + self.sigma_data**2) ** 0.5

    def to_denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        """The clean sample x0 that a network output means.

        Args:
            x: (B, C, ...) noisy latent (before `scale_input`).
            output: network output, same shape.
            sigma: scalar or (B,) noise level.
        """
        s = _like(sigma, x)
        match self.prediction:
            case "epsilon" | "flow":
                return x - output * s
            case "v_prediction":
                return x / (s**2 + 1.0) - output * s / (s**2 + 1.0) ** 0.5
            case "sample" | "img_to_img":
                return output
            case "cosmos_rflow":
                return (x - output * s) / (s + 1.0)
            case "edm":
                data = self.sigma_data
                return x * data**2 / (s**2 + data**2) + output * s * data / (s**2 + data**2) ** 0.5
            case "lcm":
                time = _like(self.timestep(sigma), x) * _LCM_TIME_SCALE
                data = _LCM_SIGMA_DATA
                keep = data**2 / (time**2 + data**2)
                return (x - output * s) * time / (time**2 + data**2) ** 0.5 + keep * x / (s**2 + 1.0) ** 0.5

    def noise_latent(self, sigma: Tensor, noise: Tensor, latent: Tensor, *, max_denoise: bool = False) -> Tensor:
        """A latent brought to noise level `sigma`.

        With `max_denoise` (sampling starts at the model's own highest level) the noise of discrete
        models has the full variance 1 + sigma^2, as the training marginal has.
        """
        full = max_denoise and self.prediction != "cosmos_rflow"
        return noise * ((1.0 + sigma**2) ** 0.5 if full else sigma) + latent

    def finish(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """Undo the scale of a latent that leaves sampling at noise level `sigma` (0 when it is done)."""
        return latent / (1.0 - sigma) if self.is_flow else latent


@dataclass(frozen=True, eq=False, kw_only=True)
class FlowSampling(FlowLevels, ModelSampling):
    """The noise levels of a flow model, whose network predicts the velocity noise - x0; made by :meth:`ModelSampling.flow`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LogSampling(LogLevels, ModelSampling):
    """The noise levels of models trained on all levels of a range; made by :meth:`ModelSampling.continuous`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CosineSampling(CosineLevels, ModelSampling):
    """The noise levels of Stable Cascade, whose network predicts the noise; made by :meth:`ModelSampling.cosine`."""


def _like(sigma: Tensor, x: Tensor) -> Tensor:
    return sigma.reshape(sigma.shape + (1,) * (x.ndim - sigma.ndim)) if sigma.ndim else sigma


def _betas(config: Mapping[str, Any]) -> Tensor | None:
    """Variances of the schedules that `training_sigmas` does not make itself."""
    schedule = config.get("beta_schedule", "scaled_linear")
    if config.get("trained_betas") is not None or schedule in ("scaled_linear", "linear"):
        return config.get("trained_betas")
    if schedule != "squaredcos_cap_v2":
        raise SamplingError(
            f"beta schedule {schedule!r} is not supported", advice="use scaled_linear, linear or squaredcos_cap_v2"
        )
    t = torch.linspace(0, 1, int(config.get("num_train_timesteps", 1000)) + 1, dtype=torch.float64)
    bar = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - bar[1:] / bar[:-1]).clamp(max=0.999)
