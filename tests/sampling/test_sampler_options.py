"""What can be set on a sampler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from graphflow.sampling.errors import SamplingError
from graphflow.sampling.noise import step_noise
from graphflow.sampling.samplers import get_sampler
from graphflow.sampling.schedules import make_sigmas
from tests.closeness import assert_close
from tests.sampling.toy import DISCRETE, SPREAD, GaussianData

SHAPE = (1, 4, 6, 6)
Z = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))


def run(name: str, steps: int = 20, schedule: str = "karras", **options: Any) -> Tensor:
    sampler = get_sampler(name, options)
    sigmas = make_sigmas(schedule, DISCRETE, steps, sampler=name)
    model = GaussianData(DISCRETE)
    x = model.at(sigmas[0], Z)
    noise = step_noise(sampler.noise, x, sigmas, 7, "batch")
    return sampler.run(model, x, sigmas, noise=noise, callback=lambda step: None)


def exact() -> Tensor:
    return GaussianData(DISCRETE).at(torch.tensor(0.0), Z)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("euler_ancestral", {"eta": 0.0}),
        ("dpmpp_2s_ancestral", {"eta": 0.0}),
        ("dpmpp_sde", {"eta": 0.0}),
        ("dpmpp_2m_sde", {"eta": 0.0}),
        ("dpmpp_3m_sde", {"eta": 0.0}),
        ("er_sde", {"solver": "ode"}),
        ("er_sde", {"solver": "reverse_time_sde", "eta": 0.0}),
        ("sa_solver", {"eta": 0.0}),
        ("lms", {"order": 2}),
        ("dpm_adaptive", {"rtol": 0.001, "atol": 0.0001}),
        ("dpm_adaptive", {"order": 2, "rtol": 0.001, "atol": 0.0001}),
    ],
)
def test_without_noise_a_sampler_follows_the_probability_flow(name: str, options: dict[str, Any]) -> None:
    assert float((run(name, steps=60, **options) - exact()).abs().max()) < 0.12


@pytest.mark.parametrize("options", [{"solver": "reverse_time_sde"}, {"solver": "reverse_time_sde", "eta": 0.5}])
def test_the_reverse_time_sde_ends_at_the_datas_spread(options: dict[str, Any]) -> None:
    sampler = get_sampler("er_sde", options)
    sigmas = make_sigmas("karras", DISCRETE, 40)
    model = GaussianData(DISCRETE)
    x = model.at(sigmas[0], torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(1)))
    got = sampler.run(model, x, sigmas, noise=step_noise("gaussian", x, sigmas, 5, "batch"), callback=lambda step: None)
    assert float(got.std()) == pytest.approx(SPREAD, rel=0.04)


def test_adaptive_steps_with_noise_end_at_the_datas_spread() -> None:
    sampler = get_sampler("dpm_adaptive", {"eta": 1.0})
    sigmas = make_sigmas("karras", DISCRETE, 4)
    model = GaussianData(DISCRETE)
    x = model.at(sigmas[0], torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(1)))
    got = sampler.run(model, x, sigmas, noise=step_noise("gaussian", x, sigmas, 5, "batch"), callback=lambda step: None)
    assert float(got.std()) == pytest.approx(SPREAD, rel=0.05)


def test_impossible_tolerances_are_an_error_and_no_endless_loop() -> None:
    with pytest.raises(SamplingError, match="finds no step that is accurate enough"):
        run("dpm_adaptive", rtol=0.0, atol=0.0)


def test_more_noise_changes_more() -> None:
    quiet, usual = run("euler_ancestral", eta=0.5), run("euler_ancestral", eta=1.0)
    assert not torch.allclose(quiet, usual, atol=0.01)
    assert torch.allclose(run("euler_ancestral", s_noise=0.0), run("euler_ancestral", s_noise=0.0))


def test_the_stochastic_adams_solver_takes_orders_and_a_window() -> None:
    usual = run("sa_solver")
    assert not torch.allclose(run("sa_solver", predictor_order=2, corrector_order=0), usual, atol=1e-4)
    assert not torch.allclose(run("sa_solver", start=0.0, end=1.0), usual, atol=0.01)
    assert_close(run("sa_solver", start=0.9, end=0.1), run("sa_solver", eta=0.0))
    simple = run("sa_solver", 60, eta=0.0, predictor_order=2, corrector_order=2, simple_second_order=True)
    assert float((simple - exact()).abs().max()) < 0.1


def test_an_unknown_option_names_the_known_ones() -> None:
    with pytest.raises(SamplingError, match="'euler_ancestral' has no option 'order'") as caught:
        get_sampler("euler_ancestral", {"order": 2})
    assert caught.value.advice == "its options are eta, s_noise"
    with pytest.raises(SamplingError, match="has no option"):
        get_sampler("euler", {"eta": 1.0})
