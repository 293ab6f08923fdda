"""Every sampler solves problems whose answer is known."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from graphflow.sampling.errors import SamplingError
from graphflow.sampling.names import SAMPLER_NAMES, SCHEDULE_NAMES
from graphflow.sampling.noise import step_noise
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.samplers import SAMPLERS, Step, dpmpp, dpmpp_sde, er_sde, get_sampler, sa_solver, seeds
from graphflow.sampling.schedules import make_sigmas
from tests.closeness import assert_close
from tests.sampling.toy import DISCRETE, FLOW, MEAN, SPREAD, GaussianData, no_noise, run

DETERMINISTIC = [name for name in SAMPLER_NAMES if SAMPLERS[name].noise == "none"]
STOCHASTIC = [name for name in SAMPLER_NAMES if SAMPLERS[name].noise != "none"]
ALIASES = [name for name in SAMPLER_NAMES if name.endswith("_gpu")]
STOPS_EARLY = ["dpm_fast", "dpm_adaptive", "uni_pc", "uni_pc_bh2"]  # end above zero by definition
OTHERWISE = ["lcm", "dpmpp_2s_ancestral_cfg_pp"]  # do not aim at the distribution; tested apart

# How fast the error falls between 48 and 96 even steps in log sigma from 10 to 0.1; multistep methods are held back
# by their first steps.
ORDERS = {
    "euler": 1,
    "euler_cfg_pp": 1,
    "ddim": 1,
    "heunpp2": 1,
    "gradient_estimation": 1,
    "gradient_estimation_cfg_pp": 1,
    "heun": 2,
    "dpm_2": 2,
    "dpm_fast": 2,
    "lms": 2.5,
    "ipndm": 2,
    "ipndm_v": 2.5,
    "deis": 2,
    "dpmpp_2m": 2,
    "dpmpp_2m_cfg_pp": 2,
    "res_multistep": 2,
    "res_multistep_cfg_pp": 2,
    "uni_pc": 2,
    "uni_pc_bh2": 2,
}


def even_in_log(steps: int) -> Tensor:
    return torch.logspace(1, -1, steps + 1, dtype=torch.float64)


def normal(seed: int) -> Tensor:
    return torch.randn((1, 4, 40, 40), generator=torch.Generator().manual_seed(seed))


def test_the_names_of_the_registry_are_the_published_ones() -> None:
    assert tuple(SAMPLERS) == SAMPLER_NAMES


def test_an_unknown_sampler_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SamplingError, match="did you mean 'euler'"):
        get_sampler("eular")


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_a_deterministic_sampler_converges_at_its_order(name: str, order: float) -> None:
    z = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(1, 1, 3, 3)
    exact = GaussianData(DISCRETE)

    def error(steps: int) -> float:
        sigmas = even_in_log(steps)
        got = run(name, exact.at(sigmas[0], z), sigmas, DISCRETE)
        return float((got - exact.at(sigmas[-1], z)).abs().max())

    assert error(96) < max(error(48) / 2 ** (order - 0.2), 1e-6)


@pytest.mark.parametrize(
    ("method", "order"),
    [
        (functools.partial(dpmpp_sde.dpmpp_sde, eta=0.0), 2),
        (functools.partial(dpmpp_sde.dpmpp_2m_sde, eta=0.0), 2),
        (functools.partial(dpmpp_sde.dpmpp_2m_sde_heun, eta=0.0), 2),
        (functools.partial(dpmpp_sde.dpmpp_3m_sde, eta=0.0), 2),
        (functools.partial(seeds.seeds_2, eta=0.0), 2),
        (functools.partial(seeds.seeds_3, eta=0.0), 3),
        (functools.partial(sa_solver.sa_solver, eta=0.0), 3),
        (functools.partial(sa_solver.sa_solver_pece, eta=0.0), 3),
    ],
    ids=lambda value: getattr(getattr(value, "func", None), "__name__", str(value)),
)
def test_a_stochastic_sampler_without_noise_solves_the_flow_at_its_order(
    method: functools.partial[Tensor], order: float
) -> None:
    z = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(1, 1, 3, 3)
    exact = GaussianData(DISCRETE)

    def error(steps: int) -> float:
        sigmas = even_in_log(steps)
        got = method(exact, exact.at(sigmas[0], z), sigmas, noise=no_noise, callback=lambda step: None)
        return float((got - exact.at(sigmas[-1], z)).abs().max())

    assert error(96) < max(error(48) / 2 ** (order - 0.2), 1e-6)


@pytest.mark.parametrize("model_sampling", [DISCRETE, FLOW], ids=["discrete", "flow"])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_deterministic_sampler_reaches_the_data(name: str, model_sampling: ModelSampling) -> None:
    z = torch.linspace(-2, 2, 16).reshape(1, 1, 4, 4)
    sigmas = make_sigmas("normal", model_sampling, 60, sampler=name)
    got = run(name, GaussianData(model_sampling).at(sigmas[0], z), sigmas, model_sampling)
    assert torch.allclose(got, MEAN + SPREAD * z, atol=0.15)


@pytest.mark.parametrize("model_sampling", [DISCRETE, FLOW], ids=["discrete", "flow"])
@pytest.mark.parametrize("name", [name for name in STOCHASTIC if name not in (*OTHERWISE, *ALIASES)])
def test_a_stochastic_sampler_reaches_the_distribution_of_the_data(name: str, model_sampling: ModelSampling) -> None:
    sigmas = make_sigmas("normal", model_sampling, 160, sampler=name)
    x = GaussianData(model_sampling).at(sigmas[0], normal(5))
    got = run(name, x, sigmas, model_sampling, step_noise("gaussian", x, sigmas, 7, "batch"))
    assert float(got.mean()) == pytest.approx(MEAN, abs=0.1)
    assert float(got.std()) == pytest.approx(SPREAD, rel=0.04)


@pytest.mark.parametrize("model_sampling", [DISCRETE, FLOW], ids=["discrete", "flow"])
def test_2s_with_cfg_pp_is_exact_only_with_the_prediction_that_belongs_to_x(model_sampling: ModelSampling) -> None:
    sigmas = make_sigmas("normal", model_sampling, 160)
    exact = GaussianData(model_sampling)
    x = exact.at(sigmas[0], normal(5))

    def spread(*, latest_uncond: bool) -> float:
        noise = step_noise("gaussian", x, sigmas, 7, "batch")
        got = dpmpp.dpmpp_2s_ancestral_cfg_pp(
            exact, x, sigmas, noise=noise, callback=lambda step: None, latest_uncond=latest_uncond
        )
        return float(got.std())

    assert spread(latest_uncond=False) == pytest.approx(SPREAD, rel=0.04)
    assert spread(latest_uncond=True) < 0.9 * SPREAD


@dataclass(frozen=True)
class _Watched(GaussianData):
    """Notes the levels it is asked at."""

    visited: list[float] = field(default_factory=list)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.visited.append(float(sigma))
        return super().__call__(x, sigma)


def test_2s_looks_just_below_pure_noise_where_a_flow_starts_there() -> None:
    seen, sigmas = _Watched(FLOW), torch.tensor([1.0, 0.6, 0.0])
    x = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    noise = step_noise("gaussian", x, sigmas, 7)
    dpmpp.dpmpp_2s_ancestral(seen, x, sigmas, noise=noise, callback=lambda step: None)
    assert_close(torch.tensor(seen.visited[:3]), torch.tensor([1.0, 0.9999, 0.6]))


@pytest.mark.parametrize("name", ["uni_pc", "uni_pc_bh2"])
def test_uni_pc_walks_a_flow_in_the_logarithm_of_sigma(name: str) -> None:
    # With an x0 that does not depend on how x is made up, both kinds of model have the same path.
    class Fixed(GaussianData):
        def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
            return (x * 0.3 + sigma).cos()

    x, sigmas = torch.linspace(-2, 2, 16).reshape(1, 1, 4, 4), torch.tensor([1.0, 0.8, 0.5, 0.3, 0.1])
    flow, discrete = (
        SAMPLERS[name].run(Fixed(kind), x, sigmas, noise=no_noise, callback=lambda step: None)
        for kind in (FLOW, DISCRETE)
    )
    assert not SAMPLERS[name].log_snr_form
    assert_close(flow, discrete)


def test_the_noise_of_an_extended_sde_has_the_variance_of_its_scale() -> None:
    # With a constant prediction of 0 the marginal deviation must be sigma at every step.
    class Nothing(GaussianData):
        def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
            return torch.zeros_like(x)

    sigmas = even_in_log(6).float()
    x = sigmas[0] * normal(1)
    noise = step_noise("gaussian", x, sigmas, 3, "batch")
    got = er_sde.er_sde(Nothing(DISCRETE), x, sigmas, noise=noise, callback=lambda step: None)
    assert float(got.std()) == pytest.approx(float(sigmas[-1]), rel=0.03)


def test_consistency_sampling_returns_what_is_predicted_last() -> None:
    seen: list[Step] = []
    sigmas = make_sigmas("simple", DISCRETE, 4)
    x = sigmas[0] * torch.ones((1, 1, 4, 4))
    noise = step_noise("gaussian", x, sigmas, 3)
    got = run("lcm", x, sigmas, DISCRETE, noise, seen.append)
    assert torch.equal(got, seen[-1].denoised)
    assert [step.index for step in seen] == [0, 1, 2, 3]


@pytest.mark.parametrize("model_sampling", [DISCRETE, FLOW], ids=["discrete", "flow"])
@pytest.mark.parametrize("schedule", SCHEDULE_NAMES)
def test_every_sampler_takes_every_schedule(schedule: str, model_sampling: ModelSampling) -> None:
    for name in (name for name in SAMPLER_NAMES if name not in ALIASES):
        sigmas = make_sigmas(schedule, model_sampling, 6, sampler=name)
        x = GaussianData(model_sampling).at(sigmas[0], torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4))
        seen: list[Step] = []
        noise = step_noise("gaussian", x, sigmas, 7)
        got = run(name, x, sigmas, model_sampling, noise, seen.append)
        assert got.shape == x.shape
        assert got.isfinite().all(), name
        assert [step.index for step in seen] == list(range(len(seen))), name
        assert seen, name


@pytest.mark.parametrize("name", [name for name in SAMPLER_NAMES if name not in STOPS_EARLY])
def test_one_step_to_zero_is_the_prediction(name: str) -> None:
    x = torch.linspace(-20, 20, 16).reshape(1, 1, 4, 4)
    sigmas = torch.tensor([14.0, 0.0])
    got = run(name, x, sigmas, DISCRETE, step_noise(SAMPLERS[name].noise, x, sigmas, 7))
    assert torch.allclose(got, GaussianData(DISCRETE)(x, sigmas[0]), atol=1e-4)
