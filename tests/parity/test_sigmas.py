"""Schedules and noise equal the recorded ones but for rounding."""

from __future__ import annotations

import pytest

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
from tests.closeness import assert_close
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
    assert_close(got, RECORDED[key], pointwise=True)


@pytest.mark.parametrize("schedule", ["normal", "karras", "simple", "beta"])
@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0])
def test_a_schedule_without_a_sampler_equals_the_recorded_one(schedule: str, strength: float) -> None:
    assert_close(make_sigmas(schedule, SAMPLING, 8, strength), RECORDED[f"nodes/{schedule}_{strength}"], pointwise=True)


def test_free_schedules_equal_the_recorded_ones() -> None:
    assert_close(karras_sigmas(8, LOW, HIGH), RECORDED["nodes/KarrasScheduler"], pointwise=True)
    assert_close(exponential_sigmas(8, LOW, HIGH), RECORDED["nodes/ExponentialScheduler"], pointwise=True)
    assert_close(polyexponential_sigmas(8, LOW, HIGH), RECORDED["nodes/PolyexponentialScheduler"], pointwise=True)
    assert_close(vp_sigmas(8), RECORDED["nodes/VPScheduler"], pointwise=True)
    assert_close(laplace_sigmas(8, LOW, HIGH), RECORDED["nodes/LaplaceScheduler"], pointwise=True)


def test_align_your_steps_equals_the_recorded_levels() -> None:
    got = align_your_steps_sigmas(ALIGN_YOUR_STEPS["sd"], 8)
    assert_close(got, RECORDED["nodes/AlignYourStepsScheduler"], pointwise=True)


def test_initial_noise_equals_the_recorded_one() -> None:
    assert_close(initial_noise((1, 4, 8, 8), 42, "batch"), RECORDED["noise/seed42_b1"])
    assert_close(initial_noise((2, 4, 8, 8), 42, "batch"), RECORDED["noise/seed42_b2"])
    assert_close(initial_noise((1, 4, 8, 8), 42, "batch", [1]), RECORDED["noise/seed42_from_batch_index1"])
    assert_close(initial_noise((1, 4, 8, 8), 2**64 - 1, "batch"), RECORDED["noise/seed_2^64-1_b1"])
