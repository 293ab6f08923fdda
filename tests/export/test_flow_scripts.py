"""A sample of the recorded workflows of flow models as exported scripts; ``tests.runners.families`` runs all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from graphflow.session import Session
from tests.families.flow_scripts import run_script, script_bound
from tests.families.lab import lab
from tests.families.recorded_flows import make_session
from tests.fresh import Fresh

pytestmark = pytest.mark.parity

SAMPLE = (
    "chroma/eval/cfg4",
    "flux/eval/flux_dev/kontext_2refs_uxo",
    "flux/ksampler_fill/euler",
    "flux/ksampler/dpmpp_sde/cfg3.5",
    "flux/mask/denoise0.5",
    "flux/lora/kohya/eval",
    "flux/pipeline/txt2img",
    "lumina2/eval/odd9x7",
    "qwen_image/eval/ref2_index_timestep_zero",
    "qwen_image/lora/lightning/eval",
    "qwen_image/text/editplus_2images",
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
