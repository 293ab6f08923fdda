"""A sample of the recorded workflows of flow models as exported scripts; ``tests.runners.families`` runs all of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.converters.diffusers_script import export
from graphflow.errors import GraphflowError
from graphflow.session import Session
from tests.families.flow_scripts import run_script, script_bound, scripts_of_the_lab
from tests.families.lab import lab
from tests.families.recorded_flows import cases, make_session, write_models
from tests.fresh import Fresh

pytestmark = pytest.mark.parity

SAMPLE = (
    "chroma/eval/cfg4",
    "flux/eval/flux_dev/kontext_2refs_uxo",
    "flux/advanced/basic/euler",
    "flux/ksampler_fill/euler",
    "flux/ksampler/dpmpp_sde/cfg3.5",
    "flux/mask/denoise0.5",
    "flux/lora/kohya/eval",
    "flux/pipeline/txt2img",
    "flux2/eval/flux2_dev/5x3",
    "flux2/eval/flux2_dev/refs2",
    "flux2/mask/euler",
    "flux2/vae/decode",
    "lumina2/eval/odd9x7",
    "qwen_image/lora/lightning/eval",
    "qwen_image/text/editplus_2images",
    "sd3/eval/sd35_medium/slg_layer1",
    "sd3/text/gt5/weights",
    "sd3/pipeline/txt2img",
    "z_image/eval/patched_sd3_3",
    "z_image/text/escape",
)


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    with Fresh() as programs:
        yield programs


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


@pytest.mark.parametrize("part", SAMPLE)
def test_the_script_of_a_recorded_workflow_draws_what_was_recorded(
    part: str, fresh: Fresh, session: Session, models: Path, tmp_path: Path
) -> None:
    family, _, case = part.partition("/")
    errors = run_script(fresh, session, family, case, models, tmp_path)
    assert errors, "nothing of it is recorded"
    assert max(errors.values()) <= script_bound(case), errors


def test_guidance_that_is_taken_away_is_refused(session: Session, models: Path, tmp_path: Path) -> None:
    recorded = copy.deepcopy(cases("flux")["eval/flux_dev/guidance1.0"])
    prompt = recorded["prompt"]
    prompt["shown"] = {"class_type": "PreviewAny", "inputs": {"source": recorded["taps"]["eval"]}}
    write_models(prompt, models)
    for entry in prompt.values():
        if entry["class_type"] == "FluxGuidance":
            entry["class_type"] = "FluxDisableGuidance"
            del entry["inputs"]["guidance"]
    imported = to_native(to_prompt(prompt), registry=session.registry)
    with scripts_of_the_lab(tmp_path), pytest.raises(GraphflowError, match="keep a distilled model from hearing"):
        export(imported.document, session=session)
