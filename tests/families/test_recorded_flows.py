"""A sample of the recorded workflows of newer families; ``tests.runners.families`` runs all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from graphflow.session import Session
from tests.families.lab import lab
from tests.families.recorded_flows import bound, make_session, run_case

pytestmark = pytest.mark.parity

SAMPLE = {
    "flux": (
        "eval/flux_dev/odd9x7",
        "eval/flux_dev/kontext_2refs_offset",
        "eval/flux_dev/kontext_2refs_uxo",
        "eval/flux_dev/patched_sd3_3",
        "eval/flux_fill",
        "eval/flux_canny",
        "sigmas/flux_64/beta/4",
        "sigmas/schnell/simple/4",
        "ksampler/euler_ancestral/cfg3.5",
        "ksampler/dpmpp_sde/cfg1.0",
        "mask/denoise0.5",
        "two_stage/euler",
        "lora/kohya/eval",
        "lora/bfl/eval",
        "lora/diffusers/eval",
        "vae/encode_crop",
        "text/weights",
        "text/long",
        "text/CLIPTextEncodeFlux",
        "text/lora_kohya_te",
        "pipeline/txt2img",
    ),
    "lumina2": ("eval/odd9x7", "ksampler/renormcfg"),
    "qwen_image": (
        "eval/odd9x7",
        "eval/layers3",
        "eval/ref_large16x16",
        "eval/ref2_offset",
        "eval/2511_ref1",
        "eval/cfgnorm",
        "sigmas/auraflow_3.1/beta/4",
        "ksampler/from_EmptySD3LatentImage",
        "mask/denoise0.5",
        "lora/lightning/eval",
        "lora/kohya/eval",
        "vae/decode_batch2",
        "vae/encode",
        "text/escape",
        "text/editplus_2images",
        "pipeline/txt2img",
    ),
    "z_image": (
        "eval/odd9x7",
        "eval/tokens40",
        "eval/batch2",
        "eval/patched_sd3_3",
        "sigmas/default/beta/4",
        "ksampler/uni_pc/cfg3.5",
        "mask/denoise0.5",
        "lora/kohya/eval",
        "lora/diffusers/eval",
        "text/escape",
        "text/long",
        "pipeline/txt2img",
    ),
    "sd3": (
        "eval/sd3/odd9x7",
        "eval/sd35_large/cfg5",
        "eval/sd35_medium/slg_layer1",
        "checkpoint",
        "sigmas/default/beta/4",
        "ksampler_sd3_6/euler/cfg3.5",
        "ksampler/er_sde/cfg3.5",
        "lora/kohya/eval",
        "lora/diffusers/eval",
        "text/triple/long",
        "text/lt5/weights",
        "text/clip_g/weights",
        "text/CLIPTextEncodeSD3/none",
        "pipeline/txt2img",
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def session(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with lab() as registry:
        yield make_session(registry, models, tmp_path_factory.mktemp("cache"))
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("family", "case"), [(family, case) for family, found in SAMPLE.items() for case in found])
def test_a_recorded_workflow_draws_what_was_recorded(family: str, case: str, session: Session, models: Path) -> None:
    errors = run_case(session, family, case, models)
    assert errors, "nothing of it is recorded"
    assert max(errors.values()) <= bound(case), errors
