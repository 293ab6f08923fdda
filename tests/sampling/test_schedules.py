"""Schedules: their form, strength, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow.sampling.errors import SamplingError
from graphflow.sampling.names import SCHEDULE_NAMES
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.schedules import SCHEDULES, karras_sigmas, make_sigmas, vp_sigmas
from tests.sampling.toy import DISCRETE, FLOW

models = st.sampled_from([DISCRETE, FLOW, ModelSampling.stable_diffusion("v_prediction", zero_snr=True)])
names = st.sampled_from(SCHEDULE_NAMES)


def test_the_names_of_the_registry_are_the_published_ones() -> None:
    assert tuple(SCHEDULES) == SCHEDULE_NAMES


def test_names_are_known_without_torch() -> None:
    code = "import sys, graphflow.sampling.names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(names, models, st.integers(2, 60))
def test_a_schedule_falls_from_within_the_models_levels_to_zero(name: str, model: ModelSampling, steps: int) -> None:
    sigmas = make_sigmas(name, model, steps)
    assert sigmas.dtype == torch.float32
    assert float(sigmas[-1]) == 0.0
    assert bool((sigmas.diff() < 0).all())
    # Even steps in arctan sigma: near pi/2 a unit in the last place of the angle is sigma units of the level.
    slack = 2 * torch.finfo().eps * float(model.sigma_max) if name == "kl_optimal" else 0.0
    assert float(sigmas[0]) <= float(model.sigma_max) * (1 + 1e-4 + slack)
    if name not in ("beta", "ddim_uniform"):
        assert len(sigmas) == steps + 1


@given(names, models, st.integers(1, 30), st.floats(0.1, 0.99))
def test_strength_takes_the_end_of_a_longer_schedule(
    name: str, model: ModelSampling, steps: int, strength: float
) -> None:
    whole = make_sigmas(name, model, int(steps / strength))
    assert torch.equal(make_sigmas(name, model, steps, strength), whole[-(steps + 1) :])


@given(names, models, st.integers(1, 30), st.sampled_from(["dpm_2", "uni_pc_bh2"]))
def test_some_samplers_leave_out_the_level_before_the_last(
    name: str, model: ModelSampling, steps: int, sampler: str
) -> None:
    longer = make_sigmas(name, model, steps + 1, sampler="euler")
    assert torch.equal(make_sigmas(name, model, steps, sampler=sampler), torch.cat([longer[:-2], longer[-1:]]))


def test_flow_schedules_have_the_published_form() -> None:
    plain = ModelSampling.flow()
    assert torch.allclose(make_sigmas("simple", plain, 4), torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0]))
    shifted = make_sigmas("simple", ModelSampling.flow(3.0), 4)
    t = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])
    assert torch.allclose(shifted, 3 * t / (1 + 2 * t))


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(SamplingError, match="did you mean 'karras'"):
        make_sigmas("karas", DISCRETE, 4)
    with pytest.raises(SamplingError, match="steps must be at least 1"):
        make_sigmas("karras", DISCRETE, 0)
    with pytest.raises(SamplingError, match="strength"):
        make_sigmas("karras", DISCRETE, 4, 1.5)
    with pytest.raises(SamplingError, match="more than 1,000,000 steps"):
        make_sigmas("simple", DISCRETE, 20, 1e-300)
    with pytest.raises(SamplingError, match="rho 1e-06 is too small"):
        karras_sigmas(4, 0.03, 14.6, 1e-6)
    with pytest.raises(SamplingError, match="not finite"):
        vp_sigmas(4, beta_d=5000.0)


def test_a_very_low_strength_is_a_schedule_all_the_same() -> None:
    for name in SCHEDULE_NAMES:
        sigmas = make_sigmas(name, DISCRETE, 4, 1e-4)
        assert len(sigmas) == 5 or name in ("ddim_uniform", "beta")
        assert float(sigmas[0]) < 0.1
