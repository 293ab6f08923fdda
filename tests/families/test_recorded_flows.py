"""A sample of the recorded workflows of newer families; ``tests.runners.families`` runs all of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from graphflow.errors import GraphflowError, NodeError
from graphflow.session import Session
from tests.families.lab import lab
from tests.families.recorded_flows import EVALUATION_BOUND, bound, cases, make_session, run_case, run_prompt

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
    "flux_redux": ("eval/two_attn_bias", "attn_bias0.2/euler", "multiply1/euler"),
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
    "flux2": (
        "eval/flux2_dev/5x3",
        "eval/flux2_dev/refs2",
        "eval/flux2_dev/guidance1.0",
        "eval/flux2_klein/cfg4",
        "sigmas/Flux2Scheduler/1024/20",
        "sigmas/default/beta/4",
        "ksampler/euler_ancestral/cfg1.0",
        "mask/denoise0.5",
        "lora/bfl/eval",
        "vae/decode",
        "vae/encode",
    ),
    "lumina2": (
        "eval/odd9x7",
        "eval/mask",
        "sigmas/default/beta/4",
        "ksampler/exp_heun_2_x0/cfg4.0",
        "ksampler/renormcfg",
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
    "cascade": (
        "c/eval/unclip_two",
        "c/sigmas/shift4/normal/4",
        "c/img2img/ddpm",
        "b/eval/odd_size",
        "b/ksampler/dpmpp_2m/cfg4.0",
        "a/encode",
    ),
    "unclip": (
        "vision/h/none/96x160",
        "unclip/vision/center",
        "unclip/eval/aug0.4_s0.8/sigma3.0",
        "unclip/ksampler/two/euler",
        "revision/ksampler/two/euler",
    ),
    "style": ("sd15_style/attn_bias0.5",),
    "edm": (
        "ckpt_playground_v25/ksampler/euler/karras",
        "ckpt_cosxl/ksampler/dpmpp_2m/karras",
        "cont_cosmos_rflow/ksampler/euler/simple",
    ),
    "misc": (
        "x4/ksampler/0.3",
        "svd/ksampler/euler_karras",
        "gligen/eval/2box_batch2_16x24",
        "hypernetwork/swish_ln_nodrop/0.5/eval",
    ),
    "chroma": (
        "eval/8x12",
        "eval/cfg4",
        "eval/mask",
        "sigmas/flux_1024/normal/4",
        "ksampler/euler/cfg4.0",
        "ksampler/dpmpp_sde/cfg4.0",
        "mask/denoise0.5",
        "text/empty",
        "text/escape",
        "text_minpad1/weights",
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


def test_a_mask_that_z_image_cannot_heed_is_refused(session: Session, models: Path) -> None:
    recorded = cases("z_image")["eval/sigma0.6"]
    prompt = json.loads(json.dumps(recorded["prompt"]))
    next(entry for entry in prompt.values() if entry["class_type"] == "LabConditioning")["inputs"]["mask_from"] = 9
    with pytest.raises(NodeError, match="a conditioning's mask leaves some out"):
        run_prompt(session, "z_image", "eval/sigma0.6", prompt, recorded["taps"], models)


@pytest.mark.parametrize(
    ("family", "case", "node", "changed", "said"),
    [
        (
            "sd3",
            "eval/sd3/8x12",
            "3",
            {"shape": [1, 16, 34, 8]},
            "pictures of up to 256 x 256 pixels, not for 64 x 272",
        ),
        ("sd3", "eval/sd35_medium/slg_layer1", "2", {"layers": "7"}, "no block transformer_blocks.7"),
        (
            "sd3",
            "text/lt5/weights",
            "1",
            {"clip_name2": "clip_l_tiny.safetensors"},
            "one CLIP-L, one CLIP-G and one T5",
        ),
        ("flux_redux", "eval/attn_bias1", "2", {"width": 64}, "tokens of width 192, the prompt's have 64"),
        ("chroma", "text/plain", "1", {"clip_name": "clip_l_tiny.safetensors"}, "one T5, not CLIPTextModel"),
    ],
)
def test_what_a_family_cannot_do_is_said(
    family: str, case: str, node: str, changed: dict[str, Any], said: str, session: Session, models: Path
) -> None:
    prompt = copy.deepcopy(cases(family)[case]["prompt"])
    prompt[node]["inputs"] |= changed
    with pytest.raises(GraphflowError, match=said):
        run_prompt(session, family, case, prompt, cases(family)[case]["taps"], models)


def test_a_text_for_t5_reaches_t5_where_it_is_the_only_encoder(session: Session, models: Path) -> None:
    prompt = copy.deepcopy(cases("chroma")["text/plain"]["prompt"])
    text = prompt["2"]["inputs"].pop("text")
    prompt["2"]["class_type"] = "CLIPTextEncodeFlux"
    prompt["2"]["inputs"] |= {"clip_l": "something else", "t5xxl": text, "guidance": 3.5}
    errors = run_prompt(session, "chroma", "text/plain", prompt, {"cond": ["2", 0]}, models)
    assert max(errors.values()) <= EVALUATION_BOUND


@pytest.mark.parametrize("part", ["flux/eval/flux_dev/sigma0.6", "qwen_image/eval/sigma0.6", "sd3/eval/sd3/sigma0.6"])
def test_half_precision_hears_the_time_exactly(part: str, session: Session, models: Path, tmp_path: Path) -> None:
    """A time rounded to bfloat16 is off by some thousandths, and the result by several hundredths."""
    family, _, case = part.partition("/")
    half = make_session(session.registry, models, tmp_path, dtype="bfloat16")
    assert max(run_case(half, family, case, models).values()) <= 0.02
