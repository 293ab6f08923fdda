"""A fixed sample of the recorded sampler × schedule cases; `tests.runners.parity` compares them all."""

from __future__ import annotations

import pytest
import torch

from graphflow.sampling.guidance import ClassifierFree
from graphflow.sampling.latent_space import LatentSpace
from graphflow.sampling.loop import sample
from graphflow.sampling.noise import initial_noise
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.schedules import make_sigmas
from graphflow.values import Conditioning, ConditioningEntry
from tests.parity.harness import BOUND, SEED, TinyModel, error, measure, recorded
from tests.parity.weights import noise

CASES = (
    "euler-normal",
    "dpmpp_2m-karras",
    "uni_pc-karras",
    "deis-beta",
    "lcm-beta",
    "ipndm_v-simple",
    "er_sde-beta",
    "seeds_3-karras",
    "sa_solver_pece-simple",
    "dpmpp_2m_sde_gpu-karras",
    "dpmpp_2s_ancestral_cfg_pp-simple",
    "res_multistep_ancestral_cfg_pp-beta",
    "lms-linear_quadratic",
    "sa_solver_pece-linear_quadratic",
)


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_a_sampler_ends_at_the_recorded_latent(tiny_model: TinyModel, case: str) -> None:
    measured = measure(tiny_model, case, recorded("samplers")[f"{case}/latent"])
    assert measured.passed, f"{case}: error {measured.error:.1e}, bound {measured.bound:.1e}"


@pytest.mark.parity
def test_step_noise_beside_the_seed_is_what_later_versions_draw(tiny_model: TinyModel) -> None:
    """The other recordings are of a version whose step noise starts at the seed; this one is of 0.8.0."""
    wanted, sampling = recorded("step_noise")["latent"], ModelSampling.stable_diffusion()
    positive, negative = (
        Conditioning(entries=(ConditioningEntry(embedding=torch.from_numpy(noise("cond", name, [1, 77, 768]))),))
        for name in ("sd15/pos", "sd15/neg")
    )
    got = sample(
        tiny_model,
        sampling,
        positive=positive,
        negative=negative,
        guider=ClassifierFree(scale=5.0),
        sampler="euler_ancestral",
        sigmas=make_sigmas("normal", sampling, 5),
        latent=torch.zeros_like(wanted),
        noise=initial_noise(wanted.shape, SEED, "batch"),
        seed=SEED,
        noise_layout="batch",
        step_seed="seed + 1",
        latent_space=LatentSpace(scale=0.18215),
    ).latent
    assert error(got, wanted) <= BOUND
