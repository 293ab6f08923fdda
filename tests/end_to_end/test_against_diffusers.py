"""The engine and the plain Diffusers pipeline draw the same picture from the same weights and the same noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from graphflow import Workflow, workflows
from graphflow.session import Session

PROMPT = "a yellow star on a gray background"


@pytest.fixture(scope="module")
def pipe(shapes: Path) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(shapes, dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.safety_checker = None
    return pipe


def test_dpmpp_2m_karras_equals_the_pipeline(pipe: StableDiffusionPipeline, session: Session) -> None:
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    generator = torch.Generator("cpu").manual_seed(3)
    theirs = pipe(
        PROMPT, num_inference_steps=12, guidance_scale=4.0, width=128, height=128, generator=generator, output_type="np"
    ).images
    inputs = {"prompt": PROMPT, "seed": 3, "steps": 12, "guidance_scale": 4.0}
    result = session.run(Workflow.load(workflows.path("txt2img")), inputs, targets=["decode"])
    (ours,) = result.values.values()
    difference = np.abs(ours.pixels.permute(0, 2, 3, 1).numpy() - theirs).max()
    assert difference <= 2 / 255, difference


def test_run_pipeline_is_the_pipeline(pipe: StableDiffusionPipeline, session: Session, shapes: Path) -> None:
    plain = StableDiffusionPipeline.from_pretrained(shapes, dtype=torch.float32, local_files_only=True)
    plain.set_progress_bar_config(disable=True)
    generator = torch.Generator("cpu").manual_seed(12)
    theirs = plain(
        "a red circle on a blue background",
        num_inference_steps=20,
        guidance_scale=3.0,
        width=128,
        height=128,
        generator=generator,
        output_type="np",
    ).images
    result = session.run(Workflow.load(workflows.path("run_pipeline_txt2img")), targets=["pipeline"])
    (ours,) = (value for value in result.values.values() if value is not None)
    assert np.abs(ours.pixels.permute(0, 2, 3, 1).numpy() - theirs).max() <= 1 / 255
