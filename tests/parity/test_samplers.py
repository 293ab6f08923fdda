"""A fixed sample of the recorded sampler × schedule cases; `tests.runners.parity` compares them all."""

from __future__ import annotations

import pytest

from tests.parity.harness import TinyModel, measure, recorded

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
)


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_a_sampler_ends_at_the_recorded_latent(tiny_model: TinyModel, case: str) -> None:
    measured = measure(tiny_model, case, recorded("samplers")[f"{case}/latent"])
    assert measured.passed, f"{case}: error {measured.error:.1e}, bound {measured.bound:.1e}"
