"""The schedulers that scripts carry take the engine's steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from graphflow.converters.diffusers_script.solvers import exact_scheduler, schedule_function
from graphflow.sampling.names import SCHEDULE_NAMES
from graphflow.sampling.noise import StepSeed, initial_noise, step_noise
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.samplers import SAMPLERS
from graphflow.sampling.schedules import make_sigmas
from tests.export.pieces import piece

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SAMPLING = ModelSampling.from_scheduler_config(CONFIG)
EXACT = [name for name in sorted(SAMPLERS) if exact_scheduler(name, "beta") and not name.endswith("_gpu")]
CARRIED = [
    (name, schedule)
    for name in EXACT
    for schedule in SCHEDULE_NAMES
    if (found := exact_scheduler(name, schedule)) and found.piece
]
"""Samplers and schedules for which scripts carry a scheduler."""
SEED = 5


class Network:
    """A network that predicts noise, and the guided model that samplers see over it."""

    levels = SAMPLING

    def predict(self, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The noise in latents of variance 1 at a whole training step."""
        assert float(timestep) == int(timestep)
        return torch.tanh(x + float(timestep) / 1000) + 0.1 * x

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        timestep = SAMPLING.timestep(sigma).round()
        return x - sigma * self.predict(x / (sigma**2 + 1) ** 0.5, timestep)

    def with_uncond(self, x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self(x, sigma), self(x, sigma)


def drawn_by_a_pipeline(
    sampler: str, schedule: str, steps: int, total: int, latents: torch.Tensor | None, start_of_steps: int | None = None
) -> torch.Tensor:
    """What a pipeline of Diffusers does with a scheduler: from noise, or from the last steps on latents."""
    chosen = exact_scheduler(sampler, schedule)
    assert chosen is not None
    scheduler = piece(chosen.name)(**CONFIG, **{name: value for name, (value, _) in chosen.config.items()})
    levels = piece(schedule_function(schedule))
    scheduler.schedule = levels if latents is None else piece("of_length")(levels)
    if start_of_steps is not None:
        scheduler.steps_from = torch.Generator().manual_seed(start_of_steps)
    scheduler.set_timesteps(total)
    noise, start = initial_noise((1, 4, 4, 4), SEED, "per_sample"), 0
    if latents is None:
        x = noise * scheduler.init_noise_sigma
    else:
        start = (total - steps) * scheduler.order
        scheduler.set_begin_index(start)
        x = scheduler.add_noise(latents, noise, scheduler.timesteps[start : start + 1])
    options = {"generator": torch.Generator().manual_seed(SEED)} if SAMPLERS[sampler].noise != "none" else {}
    for timestep in scheduler.timesteps[start:]:
        output = Network().predict(scheduler.scale_model_input(x, timestep), timestep)
        x = scheduler.step(output, timestep, x, **options).prev_sample
    return x


def drawn_by_the_engine(
    sampler: str, schedule: str, steps: int, strength: float, latents: torch.Tensor | None, step_seed: StepSeed = "seed"
) -> torch.Tensor:
    sigmas = make_sigmas(schedule, SAMPLING, steps, strength, sampler)
    noise = initial_noise((1, 4, 4, 4), SEED, "per_sample")
    clean = torch.zeros_like(noise) if latents is None else latents
    highest = float(sigmas[0]) >= float(SAMPLING.sigma_max) * 0.99999
    x = SAMPLING.noise_latent(sigmas[0], noise, clean, max_denoise=highest)
    fresh: Any = step_noise(SAMPLERS[sampler].noise, x, sigmas, SEED, start=step_seed)
    return SAMPLERS[sampler].run(Network(), x, sigmas, noise=fresh, callback=lambda step: None)


def test_the_pairs_are_most_of_them() -> None:
    others = {(name, schedule) for name in EXACT for schedule in SCHEDULE_NAMES} - set(CARRIED)
    assert others == {("dpmpp_2m", "karras"), ("lms", "linear_quadratic")}  # Diffusers' own class; a loop


@pytest.mark.parametrize(("sampler", "schedule"), CARRIED)
def test_from_noise(sampler: str, schedule: str) -> None:
    # No level may lie halfway between two training steps: there rounding chooses which of them the network is told.
    steps = 7 if schedule == "sgm_uniform" else 6
    drawn = drawn_by_a_pipeline(sampler, schedule, steps, steps, None)
    torch.testing.assert_close(drawn, drawn_by_the_engine(sampler, schedule, steps, 1.0, None), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["euler_ancestral", "ddpm", "lcm"])
def test_steps_from_beside_the_seed(sampler: str) -> None:
    drawn = drawn_by_a_pipeline(sampler, "karras", 6, 6, None, SEED + 1)
    expected = drawn_by_the_engine(sampler, "karras", 6, 1.0, None, "seed + 1")
    torch.testing.assert_close(drawn, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("steps", "strength"), [(5, 0.6), (84, 0.6)])  # none halfway, as above
@pytest.mark.parametrize("schedule", ["ddim_uniform", "beta", "normal"])
@pytest.mark.parametrize("sampler", EXACT)
def test_the_last_steps_on_latents(sampler: str, schedule: str, steps: int, strength: float) -> None:
    latents = torch.linspace(-1, 1, 64).reshape(1, 4, 4, 4)
    drawn = drawn_by_a_pipeline(sampler, schedule, steps, int(steps / strength), latents)
    expected = drawn_by_the_engine(sampler, schedule, steps, strength, latents)
    torch.testing.assert_close(drawn, expected, rtol=1e-4, atol=1e-4)
