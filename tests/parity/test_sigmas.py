"""Schedules and noise equal the recorded ones bit for bit."""

from __future__ import annotations

import pytest
import torch

from graphflow.sampling.align_your_steps import ALIGN_YOUR_STEPS
from graphflow.sampling.noise import initial_noise
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.schedules import (
    align_your_steps_sigmas,
    exponential_sigmas,
    karras_sigmas,
    laplace_sigmas,
    make_sigmas,
    polyexponential_sigmas,
    vp_sigmas,
)
from tests.parity.harness import recorded

RECORDED = recorded("sigmas")
SAMPLING = ModelSampling.stable_diffusion()
LOW, HIGH = 0.0291675, 14.614642


@pytest.mark.parametrize("key", [key for key in RECORDED if key.startswith("ksampler")])
def test_a_schedule_for_a_sampler_equals_the_recorded_one(key: str) -> None:
    settings, schedule = key.split("/")
    sampler, rest = settings.removeprefix("ksampler_").split("_steps")
    steps, strength = rest.split("_denoise")
    got = make_sigmas(schedule, SAMPLING, int(steps), float(strength), sampler)
    assert torch.equal(got, RECORDED[key])


@pytest.mark.parametrize("schedule", ["normal", "karras", "simple", "beta"])
@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0])
def test_a_schedule_without_a_sampler_equals_the_recorded_one(schedule: str, strength: float) -> None:
    assert torch.equal(make_sigmas(schedule, SAMPLING, 8, strength), RECORDED[f"nodes/{schedule}_{strength}"])


def test_free_schedules_equal_the_recorded_ones() -> None:
    assert torch.equal(karras_sigmas(8, LOW, HIGH), RECORDED["nodes/KarrasScheduler"])
    assert torch.equal(exponential_sigmas(8, LOW, HIGH), RECORDED["nodes/ExponentialScheduler"])
    assert torch.equal(polyexponential_sigmas(8, LOW, HIGH), RECORDED["nodes/PolyexponentialScheduler"])
    assert torch.equal(vp_sigmas(8), RECORDED["nodes/VPScheduler"])
    assert torch.equal(laplace_sigmas(8, LOW, HIGH), RECORDED["nodes/LaplaceScheduler"])


def test_align_your_steps_equals_the_recorded_levels() -> None:
    got = align_your_steps_sigmas(ALIGN_YOUR_STEPS["sd"], 8)
    assert torch.allclose(got, RECORDED["nodes/AlignYourStepsScheduler"], rtol=2e-7, atol=0)


def test_initial_noise_equals_the_recorded_one() -> None:
    assert torch.equal(initial_noise((1, 4, 8, 8), 42, "batch"), RECORDED["noise/seed42_b1"])
    assert torch.equal(initial_noise((2, 4, 8, 8), 42, "batch"), RECORDED["noise/seed42_b2"])
    assert torch.equal(initial_noise((1, 4, 8, 8), 42, "batch", [1]), RECORDED["noise/seed42_from_batch_index1"])
    assert torch.equal(initial_noise((1, 4, 8, 8), 2**64 - 1, "batch"), RECORDED["noise/seed_2^64-1_b1"])
