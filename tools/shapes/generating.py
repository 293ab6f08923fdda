"""Draws prompts with plain Diffusers, as every measurement here does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from pictures.drawing import Picture
from PIL import Image

STEPS = 20
GUIDANCE = 4.0


def load(model: Path) -> StableDiffusionPipeline:
    """The pipeline of a model folder in single precision, quiet, without its checker."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        model, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generate(
    pipeline: DiffusionPipeline,
    captions: list[str],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    first_seed: int = 0,
    hints: list[Picture] | None = None,
) -> list[Picture]:
    """Draw captions; picture i has seed `first_seed + i`, whatever the batch, and `hints[i]` as ControlNet's picture."""
    pictures: list[Picture] = []
    for i in range(0, len(captions), 25):
        chunk = captions[i : i + 25]
        generators = [torch.Generator().manual_seed(first_seed + i + j) for j in range(len(chunk))]
        control = {} if hints is None else {"image": [Image.fromarray(hint) for hint in hints[i : i + 25]]}
        output = pipeline(
            chunk, generator=generators, num_inference_steps=steps, guidance_scale=guidance, output_type="np", **control
        )
        pictures += [np.rint(image * 255).astype(np.uint8) for image in output.images]
    return pictures
