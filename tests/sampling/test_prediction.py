"""Noise levels and what a network's output means."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow.sampling.errors import SamplingError
from graphflow.sampling.flow_levels import flux_shift
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.schedules import make_sigmas
from tests.closeness import assert_close, close

STABLE_DIFFUSION = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}


@given(st.sampled_from(["epsilon", "v_prediction", "sample"]), st.integers(0, 999))
def test_the_denoised_sample_is_what_went_into_the_noisy_one(prediction: str, t: int) -> None:
    sampling = ModelSampling.stable_diffusion(prediction)  # type: ignore[arg-type]
    sigma = sampling.sigmas[t]
    x0, noise = torch.linspace(-1, 1, 8).reshape(1, 2, 2, 2), torch.linspace(2, -2, 8).reshape(1, 2, 2, 2)
    x = sampling.noise_latent(sigma, noise, x0)
    scale = (1 + sigma**2) ** 0.5
    output = {"epsilon": noise, "v_prediction": (noise - sigma * x0) / scale, "sample": x0}[prediction]
    assert torch.allclose(sampling.to_denoised(x, output, sigma), x0, atol=2e-5)
    assert torch.allclose(sampling.to_denoised(x, output, sigma.repeat(1)), x0, atol=2e-5)


@given(st.floats(0.01, 1.0), st.floats(1.0, 6.0))
def test_the_same_holds_for_flow(t: float, shift: float) -> None:
    sampling = ModelSampling.flow(shift)
    sigma = sampling.sigma(torch.tensor(t * 1000))
    x0, noise = torch.linspace(-1, 1, 8).reshape(1, 2, 2, 2), torch.linspace(2, -2, 8).reshape(1, 2, 2, 2)
    x = sampling.noise_latent(sigma, noise, x0)
    assert torch.allclose(sampling.to_denoised(x, noise - x0, sigma), x0, atol=1e-5)
    assert torch.equal(sampling.scale_input(x, sigma), x)


@given(st.integers(0, 999))
def test_timestep_inverts_sigma_at_training_steps(t: int) -> None:
    sampling = ModelSampling.stable_diffusion()
    assert int(sampling.timestep(sampling.sigma(torch.tensor(t)))) == t


def test_timesteps_are_the_nearest_training_steps_in_log_sigma() -> None:
    sampling = ModelSampling.stable_diffusion()
    between = torch.tensor([[500.4, 500.6]])
    assert sampling.timestep(sampling.sigma(between)).tolist() == [[500, 501]]


def test_scaled_inputs_of_a_discrete_model_have_unit_variance() -> None:
    sampling = ModelSampling.stable_diffusion()
    sigma = torch.tensor(3.0)
    x = torch.full((1, 1, 2, 2), math.sqrt(10.0))
    assert torch.allclose(sampling.scale_input(x, sigma), torch.ones_like(x))


@given(st.sampled_from([ModelSampling.stable_diffusion(), ModelSampling.flow(3.0)]), st.floats(0, 1), st.floats(0, 1))
def test_a_later_share_of_sampling_has_a_lower_level(sampling: ModelSampling, a: float, b: float) -> None:
    early, late = sorted((a, b))
    higher, lower = (torch.tensor(sampling.percent_to_sigma(share)) for share in (early, late))
    assert higher >= lower or close(higher, lower)
    assert sampling.percent_to_sigma(0.0) >= float(sampling.sigma_max)
    assert sampling.percent_to_sigma(1.0) == 0.0


@given(st.sampled_from([ModelSampling.stable_diffusion(), ModelSampling.flow(3.0)]), st.floats(0.05, 0.95))
def test_half_log_snr_has_an_inverse(sampling: ModelSampling, sigma: float) -> None:
    level = torch.tensor(sigma)
    there = sampling.half_log_snr(level)
    assert float(there) == pytest.approx(math.log(float(sampling.alpha(level)) / sigma), abs=1e-5)
    assert float(sampling.sigma_at_half_log_snr(there)) == pytest.approx(sigma, rel=1e-5)


def test_stable_diffusion_configs_give_the_known_levels() -> None:
    sampling = ModelSampling.from_scheduler_config(STABLE_DIFFUSION)
    assert_close(sampling.sigmas, ModelSampling.stable_diffusion().sigmas, pointwise=True)
    assert_close(sampling.sigma_max, torch.tensor(14.614642))
    assert float(sampling.sigma_min) == pytest.approx(0.0291672, abs=1e-7)


def test_zero_terminal_snr_keeps_the_lowest_level_and_lifts_the_highest() -> None:
    sampling = ModelSampling.from_scheduler_config(
        {**STABLE_DIFFUSION, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    )
    assert sampling.prediction == "v_prediction"
    assert float(sampling.sigma_max) == pytest.approx(4518.8, rel=1e-4)
    assert float(sampling.sigma_min) == pytest.approx(0.0291675, rel=1e-4)
    assert bool((sampling.sigmas.diff() > 0).all())


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_every_beta_schedule_gives_rising_levels(schedule: str) -> None:
    sampling = ModelSampling.from_scheduler_config({**STABLE_DIFFUSION, "beta_schedule": schedule})
    assert sampling.sigmas.dtype == torch.float32
    assert bool((sampling.sigmas.diff() > 0).all())


def test_trained_betas_are_taken_as_they_are() -> None:
    sampling = ModelSampling.from_scheduler_config({"trained_betas": [0.5, 0.5]})
    assert_close(sampling.sigmas, torch.tensor([1.0, math.sqrt(3.0)]))


def test_flow_configs_are_recognised() -> None:
    sd3 = ModelSampling.from_scheduler_config({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0})
    assert (sd3.is_flow, sd3.shift) == (True, 3.0)
    assert float(sd3.sigma_max) == 1.0
    flux = ModelSampling.from_scheduler_config(
        {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True, "max_shift": 1.15}
    )
    assert flux.shift == pytest.approx(math.exp(1.15))
    wan = ModelSampling.from_scheduler_config(
        {"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction", "flow_shift": 5.0}
    )
    assert (wan.is_flow, wan.shift) == (True, 5.0)


def test_the_shift_of_flux_grows_with_the_picture() -> None:
    assert flux_shift(256, 256) == pytest.approx(math.exp(0.5))
    assert flux_shift(1024, 1024) == pytest.approx(math.exp(1.15))


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(SamplingError, match="prediction type 'score'"):
        ModelSampling.from_scheduler_config({"prediction_type": "score"})
    with pytest.raises(SamplingError, match="beta schedule 'cubic'"):
        ModelSampling.from_scheduler_config({"beta_schedule": "cubic"})
    with pytest.raises(SamplingError, match="shift"):
        ModelSampling.flow(0.0)


def test_a_latent_that_leaves_flow_sampling_early_comes_back_as_it_was() -> None:
    sampling = ModelSampling.flow(3.0)
    sigma = torch.tensor(0.4)
    x = torch.linspace(-1, 1, 4).reshape(1, 1, 2, 2)
    kept = sampling.finish(sigma, x)
    assert_close(sampling.noise_latent(sigma, torch.zeros_like(x), kept), x)


@given(st.sampled_from(["epsilon", "v_prediction", "edm"]), st.floats(0.01, 80.0), st.sampled_from(["log", "angle"]))
def test_models_trained_on_a_range_of_levels(prediction: str, level: float, time: str) -> None:
    sampling = ModelSampling.continuous(prediction, 0.002, 80.0, time=time)  # type: ignore[arg-type]
    sigma = torch.tensor(level)
    data = 0.5 if prediction == "edm" else 1.0
    x0, noise = torch.linspace(-1, 1, 8).reshape(1, 2, 2, 2), torch.linspace(2, -2, 8).reshape(1, 2, 2, 2)
    x = x0 + sigma * noise
    scale = (data**2 + sigma**2) ** 0.5
    output = {
        "epsilon": noise,
        "v_prediction": (noise - sigma * x0) / scale,
        "edm": (x0 - x * data**2 / scale**2) * scale / (sigma * data),  # Karras et al. 2022, table 1
    }[prediction]
    assert torch.allclose(sampling.to_denoised(x, output, sigma), x0, atol=1e-4)
    assert torch.allclose(sampling.scale_input(x, sigma), x / scale)
    assert float(sampling.sigma(sampling.timestep(sigma))) == pytest.approx(level, rel=1e-4)


def test_levels_of_a_range_are_even_in_their_logarithm() -> None:
    sampling = ModelSampling.continuous("edm", 0.002, 80.0)
    assert_close(sampling.sigma_min, torch.tensor(0.002))
    assert float(sampling.sigma_max) == pytest.approx(80.0, rel=1e-5)
    assert sampling.percent_to_sigma(0.5) == pytest.approx(math.sqrt(0.002 * 80.0), rel=1e-5)
    assert_close(sampling.timestep(torch.tensor(math.e**4)), torch.tensor(1.0))
    with pytest.raises(SamplingError, match="do not bound a range"):
        ModelSampling.continuous("edm", 1.0, 1.0)


def test_a_distilled_model_knows_every_twentieth_step() -> None:
    whole = ModelSampling.stable_diffusion()
    distilled = whole.distilled()
    assert len(distilled.sigmas) == 50
    assert torch.equal(distilled.sigmas, whole.sigmas[19::20])
    assert [int(distilled.timestep(level)) for level in distilled.sigmas[:3]] == [19, 39, 59]
    assert int(distilled.timestep(whole.sigma_max)) == 999
    assert torch.allclose(distilled.sigma(torch.tensor([19, 999])), whole.sigmas[[19, 999]])
    # the third step lies midway between 499 and 519, and recordings were told the second
    assert distilled.timestep(make_sigmas("sgm_uniform", distilled, 4)[:-1]).tolist() == [999, 759, 519, 259]
    x, noise = torch.full((1, 1, 1, 1), 2.0), torch.ones(1, 1, 1, 1)
    sigma = distilled.sigmas[10]
    # far from time 0 the boundary condition of consistency models leaves the prediction as it is
    assert torch.allclose(distilled.to_denoised(x, noise, sigma), x - sigma, atol=1e-3)
