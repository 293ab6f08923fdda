"""The workflow for SDXL's base and refiner, on tiny models with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from graphflow import Workflow, events, workflows
from graphflow.errors import NodeError
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.registry import Registry
from tests.models.tiny import make_tiny_refiner_file, make_tiny_sd_file, make_tiny_sdxl_file

SMALL = {"model": "tiny-xl", "refiner": "tiny-refiner", "width": 64, "height": 48, "steps": 4, "switch_at": 1}


@pytest.fixture(scope="module")
def sdxl(known: Registry, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session on a folder with a tiny SDXL, a tiny refiner and a tiny Stable Diffusion."""
    root = tmp_path_factory.mktemp("models")
    make_tiny_sdxl_file(root / "checkpoints" / "tiny-xl.safetensors")
    make_tiny_refiner_file(root / "checkpoints" / "tiny-refiner.safetensors", seed=1)
    make_tiny_sd_file(root / "checkpoints" / "tiny-sd.safetensors")
    values = {"models": (root,), "cache_dir": root / "cache", "device": "cpu", "offline": True}
    return Session(Settings.model_validate(values), known=known)


def latents(session: Session, *targets: str, ran: list[str] | None = None, **inputs: Any) -> list[torch.Tensor]:
    """Run the workflow up to some nodes; add to `ran` which nodes ran."""
    values = session.run(
        Workflow.load(workflows.path("sdxl_base_refiner")),
        {**SMALL, **inputs},
        targets=list(targets),
        sink=lambda e: ran.append(e.node) if ran is not None and isinstance(e, events.NodeStarted) else None,
    ).values
    return [values[f"{target}.latent"].samples for target in targets]


def test_the_workflow_writes_a_picture(sdxl: Session, tmp_path: Path) -> None:
    (path,) = sdxl.run(Workflow.load(workflows.path("sdxl_base_refiner")), SMALL, out=tmp_path).paths
    with Image.open(path) as picture:
        assert picture.width * 3 == picture.height * 4
        assert len(set(picture.convert("RGB").resize((16, 12)).get_flattened_data())) > 10


def test_the_refiner_reads_its_score_and_the_base_runs_once(sdxl: Session) -> None:
    ran: list[str] = []
    base, good = latents(sdxl, "base", "refine", seed=2)
    again, better = latents(sdxl, "base", "refine", seed=2, aesthetic_score=9.0, ran=ran)
    assert {"refine_positive", "refine"} == set(ran)
    assert torch.equal(base, again)
    assert (good - better).abs().max() > 1e-3
    assert (good - base).abs().max() > 1.0


def test_the_base_alone_is_the_end_where_the_refiner_gets_no_step(sdxl: Session) -> None:
    base, whole = latents(sdxl, "base", "refine", switch_at=4)
    assert torch.equal(base, whole)


def test_sizes_told_to_the_base_change_the_picture(sdxl: Session) -> None:
    (square,) = latents(sdxl, "base")
    workflow = Workflow.load(workflows.path("sdxl_base_refiner"))
    workflow.document.nodes["positive"].params["crop_x"] = 512
    (found,) = sdxl.run(workflow, SMALL, targets=["base"]).values.values()
    assert (found.samples - square).abs().max() > 1e-3 * square.abs().max()


@pytest.mark.parametrize("changes", [{"refiner": "tiny-sd"}, {"decoder": "tiny-sd"}])
def test_latents_of_another_family_are_refused_with_both_names(sdxl: Session, changes: dict[str, str]) -> None:
    workflow = Workflow.load(workflows.path("sdxl_base_refiner"))
    if "decoder" in changes:
        workflow.document.nodes["other"] = workflow.document.nodes["base_checkpoint"].model_copy(
            update={"params": {"model": changes["decoder"]}}
        )
        workflow.document.nodes["decode"].links["vae"] = "other.vae"
    inputs = {**SMALL, **({"refiner": changes["refiner"]} if "refiner" in changes else {})}
    with pytest.raises(NodeError, match=r"the latent is one of sdxl, and .* is one of sd"):
        sdxl.run(workflow, inputs, targets=["decode"])
