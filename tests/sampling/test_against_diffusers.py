"""Diffusers' schedulers take the same steps, where they can be given our noise levels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from graphflow.sampling.noise import step_noise
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.samplers import SAMPLERS
from graphflow.sampling.schedules import make_sigmas
from tests.sampling.toy import DISCRETE, GaussianData

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPE = (1, 4, 6, 6)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


class Crooked(GaussianData):
    """A prediction without a simple form, so that no method is exact on it."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return super().__call__(x, sigma) + 0.3 * torch.sin(x / (1 + sigma) + sigma.sqrt())


def ours(name: str, sampling: ModelSampling, x: Tensor, sigmas: Tensor) -> Tensor:
    noise = step_noise(SAMPLERS[name].noise, x, sigmas, 7, "batch")
    return SAMPLERS[name].run(Crooked(sampling), x, sigmas, noise=noise, callback=lambda step: None)


def start(sigmas: Tensor) -> Tensor:
    return sigmas[0] * torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))


def inject(scheduler: Any, sigmas: Tensor) -> Any:
    """Have a scheduler walk exactly these levels."""
    scheduler._convert_to_karras = lambda *a, **k: sigmas[:-1].double().numpy()
    scheduler._sigma_to_t = lambda sigma, log_sigmas: float(DISCRETE.timestep(torch.tensor(float(sigma))))
    scheduler.set_timesteps(len(sigmas) - 1)
    scheduler.set_begin_index(0)
    scheduler.is_scale_input_called = True
    return scheduler


@pytest.mark.parametrize(
    ("name", "scheduler", "evaluations"),
    [
        ("euler", "EulerDiscreteScheduler", 1),
        ("heun", "HeunDiscreteScheduler", 2),
        ("lms", "LMSDiscreteScheduler", 1),
    ],
)
def test_schedulers_with_alpha_one(name: str, scheduler: str, evaluations: int) -> None:
    import diffusers

    sigmas = make_sigmas("karras", DISCRETE, 10)
    theirs = inject(getattr(diffusers, scheduler)(**BETAS, use_karras_sigmas=True), sigmas)
    x = start(sigmas)
    model, levels = Crooked(DISCRETE), theirs.sigmas
    assert len(theirs.timesteps) == evaluations * 10 - (evaluations - 1)
    for i, t in enumerate(theirs.timesteps):
        denoised = model(x, levels[i])
        last_of_lms = name == "lms" and i == len(theirs.timesteps) - 1
        x = denoised if last_of_lms else theirs.step((x - denoised) / levels[i], t, x).prev_sample
    assert torch.allclose(x, ours(name, DISCRETE, start(sigmas), sigmas), atol=2e-5)


@pytest.mark.parametrize(("name", "solver"), [("dpmpp_2m", "midpoint"), ("res_multistep", "heun")])
def test_multistep_solvers_in_variance_preserving_form(name: str, solver: str) -> None:
    from diffusers import DPMSolverMultistepScheduler

    sigmas = make_sigmas("karras", DISCRETE, 10)
    theirs = inject(
        DPMSolverMultistepScheduler(**BETAS, solver_order=2, solver_type=solver, use_karras_sigmas=True), sigmas
    )
    model = Crooked(DISCRETE)
    x = start(sigmas) / (1 + sigmas[0] ** 2) ** 0.5
    for sigma, t in zip(sigmas, theirs.timesteps, strict=False):
        full = x * (1 + sigma**2) ** 0.5
        x = theirs.step((full - model(full, sigma)) / sigma, t, x).prev_sample
    assert torch.allclose(x, ours(name, DISCRETE, start(sigmas), sigmas), atol=2e-5)


def test_flow_matching_takes_euler_steps() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    sampling = ModelSampling.flow(3.0)
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(10, sigmas=[1 - i / 10 for i in range(10)])
    sigmas = make_sigmas("simple", sampling, 10)
    assert torch.allclose(theirs.sigmas, sigmas, atol=1e-6)
    model, x = Crooked(sampling), start(sigmas)
    for sigma, t in zip(sigmas, theirs.timesteps, strict=False):
        x = theirs.step((x - model(x, sigma)) / sigma, t, x).prev_sample
    assert torch.allclose(x, ours("euler", sampling, start(sigmas), sigmas), atol=2e-5)


def test_ancestral_steps_of_flow_models() -> None:
    from diffusers import LTXEulerAncestralRFScheduler

    sampling = ModelSampling.flow(3.0)
    sigmas = make_sigmas("simple", sampling, 10)
    theirs = LTXEulerAncestralRFScheduler(eta=1.0)
    theirs.set_timesteps(sigmas=sigmas)
    model, x = Crooked(sampling), start(sigmas)
    generator = torch.Generator().manual_seed(7)
    for sigma, t in zip(sigmas, theirs.timesteps, strict=False):
        x = theirs.step((x - model(x, sigma)) / sigma, t, x, generator=generator).prev_sample
    assert torch.allclose(x, ours("euler_ancestral", sampling, start(sigmas), sigmas), atol=2e-5)


def test_consistency_sampling_of_flow_models() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    sampling = ModelSampling.flow(3.0)
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0, stochastic_sampling=True)
    theirs.set_timesteps(10, sigmas=[1 - i / 10 for i in range(10)])
    sigmas = make_sigmas("simple", sampling, 10)
    model, x = Crooked(sampling), start(sigmas)
    generator = torch.Generator().manual_seed(7)
    for sigma, t in zip(sigmas, theirs.timesteps, strict=False):
        x = theirs.step((x - model(x, sigma)) / sigma, t, x, generator=generator).prev_sample
    assert torch.allclose(x, ours("lcm", sampling, start(sigmas), sigmas), atol=2e-5)
