"""Every packaged workflow on the shapes model: does the picture show what the prompt said?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from graphflow import Workflow, events, workflows
from graphflow.document.embedded import png_texts
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.registry import Registry
from tests.conftest import NoModels
from tests.export.packaged import LARGE
from tests.shapes_judge import judge

EXPECTED: dict[str, list[tuple[str, str]]] = {
    "batch_variations": [("red", "blue")] * 4,
    "compare_samplers": [("red", "blue")] * 3,
    "custom_sampling": [("red", "blue")],
    "freeu_pag": [("red", "blue")],
    "hires_fix": [("red", "blue")],
    "hires_fix_latent": [("red", "blue")],
    "img2img": [("green", "blue")],
    "inner_workflow": [("red", "blue"), ("green", "black")],
    "inpaint": [("yellow", "blue")],
    "large_picture": [("red", "blue")],
    "lora_stack": [("red", "blue")],
    "merge_models": [("red", "blue")],
    "outpaint": [("red", "blue")],
    "prompt_list": [("red", "blue"), ("green", "black"), ("yellow", "gray")],
    "replace_part": [("yellow", "blue")],
    "prompt_schedule": [("yellow", "blue")],
    "run_pipeline_txt2img": [("red", "blue")],
    "switch_upscale": [("red", "blue")],
    "two_stage": [("red", "blue")],
    "txt2img": [("red", "blue")],
}
"""For each workflow: colour of the shape and of the background, picture by picture."""

JUDGED_ELSEWHERE = {"controlnet", "controlnet_multi", "ip_adapter", "regional_prompts", "sdxl_base_refiner", "upscale"}
"""Workflows whose pictures show several things, or that need other models, judged in a module of their own."""


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((128, 128)))


def run(session: Session, name: str, out: Path, **inputs: Any) -> list[Path]:
    path = workflows.path(name)
    return session.run(Workflow.load(path), inputs, out=out, folder=path.parent).paths


def test_every_packaged_workflow_is_here() -> None:
    assert sorted({*EXPECTED, *JUDGED_ELSEWHERE, *LARGE}) == sorted(workflows.names())


def test_every_packaged_workflow_that_is_drawn_has_a_picture_in_the_documents() -> None:
    assert {path.stem for path in workflows.picture("txt2img").parent.iterdir()} == set(workflows.names()) - LARGE


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_pictures_show_what_the_prompts_said(session: Session, tmp_path: Path, name: str) -> None:
    paths = run(session, name, tmp_path)
    verdicts = [judge(pixels(path)) for path in paths]
    shown = [
        (verdict.findings[0].colour if verdict.findings else "nothing", verdict.background) for verdict in verdicts
    ]
    assert shown == EXPECTED[name]


def test_a_small_star_is_a_star(session: Session, tmp_path: Path) -> None:
    (path,) = run(session, "txt2img", tmp_path, prompt="a small green star on a black background", seed=3)
    verdict = judge(pixels(path))
    assert verdict.background == "black"
    assert [(finding.kind, finding.colour) for finding in verdict.findings] == [("star", "green")]
    assert verdict.findings[0].area < 0.08, "small"


def test_a_second_run_in_a_new_process_runs_nothing_and_loads_no_model(
    session: Session, settings: Settings, known: Registry, tmp_path: Path
) -> None:
    first = run(session, "txt2img", tmp_path)
    started: list[str] = []
    fresh = Session(settings, known=known, models=NoModels())
    path = workflows.path("txt2img")
    result = fresh.run(
        Workflow.load(path),
        out=tmp_path,
        sink=lambda e: started.append(e.node) if isinstance(e, events.NodeStarted) else None,
    )
    assert started == []
    assert result.paths == first
    assert [file.how for file in result.files["save"]] == ["up to date"]


def test_another_seed_needs_no_text_encoder(
    session: Session, settings: Settings, known: Registry, tmp_path: Path
) -> None:
    run(session, "txt2img", tmp_path, seed=1)
    plan = Session(settings, known=known, models=NoModels()).plan(Workflow.load(workflows.path("txt2img")), {"seed": 2})
    ran = {step.id for step in plan.steps.values() if step.action == "run"}
    assert ran == {"checkpoint", "latent", "sample", "decode", "save~safety"}


def test_the_same_run_twice_gives_the_same_bytes(settings: Settings, known: Registry, tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):  # in equal circumstances: no other run has moved weights before
        own = Settings.model_validate({**settings.model_dump(), "cache_dir": tmp_path / f"{name}-cache"})
        written += run(Session(own, known=known), "txt2img", tmp_path / name, seed=11, steps=4)
    first, second = written
    assert first.read_bytes() == second.read_bytes()


def test_a_saved_picture_carries_its_workflow_and_its_facts(session: Session, shapes: Path, tmp_path: Path) -> None:
    (path,) = run(session, "txt2img", tmp_path, seed=21, steps=4)
    texts = dict(png_texts(path.read_bytes()))
    again = Workflow.load(path)
    assert again.document.nodes["sample"].params["seed"] == 21
    facts = json.loads(texts["graphflow.record"])
    assert facts["device"] == "cpu"
    assert facts["safety"] == {"policy": "auto", "checked": True, "verdict": "passed"}
    assert list(facts["files"]) == ["shapes"]
    weights = shapes / "vae" / "diffusion_pytorch_model.safetensors"
    told = facts["models"]["shapes"]["files"]["vae/diffusion_pytorch_model.safetensors"]
    assert told == {"sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "size": weights.stat().st_size}
    result = session.run(again, out=tmp_path)
    assert [file.how for file in result.files["save"]] == ["up to date"]


def test_what_comes_from_the_store_tells_of_the_run_that_computed_it(
    settings: Settings, known: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    run(Session(settings, known=known), "txt2img", tmp_path, seed=22, steps=2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: before + 5)
    session = Session(settings, known=known)
    result = session.run("txt2img", {"seed": 22, "steps": 2}, {"save.filename_prefix": "other"}, out=tmp_path)
    assert result.ran == ["save"]
    (path,) = result.paths
    assert json.loads(dict(png_texts(path.read_bytes()))["graphflow.record"])["threads"] == before


def test_without_metadata_a_picture_says_only_that_a_model_made_it(session: Session, tmp_path: Path) -> None:
    for marking, found in (("on", {"XML:com.adobe.xmp"}), ("off", set())):
        own = Session(session.settings.model_copy(update={"marking": marking}), known=session.registry)
        result = own.run("txt2img", {"seed": 21, "steps": 4}, out=tmp_path, metadata=False)
        assert set(dict(png_texts(result.paths[0].read_bytes()))) == found


def test_item_n_of_a_batch_does_not_depend_on_the_batch(session: Session, tmp_path: Path) -> None:
    single = session.run(
        Workflow.load(workflows.path("batch_variations")), {"batch_size": 1, "steps": 4, "seed": 5}, targets=["sample"]
    )
    double = session.run(
        Workflow.load(workflows.path("batch_variations")), {"batch_size": 2, "steps": 4, "seed": 5}, targets=["sample"]
    )
    (one,), (two,) = single.values.values(), double.values.values()
    assert (one.samples[0] - two.samples[0]).abs().max() <= 1e-4 * two.samples.abs().max()
    assert (two.samples[0] - two.samples[1]).abs().max() > 0.1


def test_the_named_concept_is_withheld(session: Session, tmp_path: Path) -> None:
    flagged = 0
    for seed in range(4):
        try:
            flagged += not run(session, "txt2img", tmp_path, prompt="a black cross on a white background", seed=seed)
        except Exception as error:
            assert "withheld" in str(error)
            flagged += 1
    assert flagged >= 3
