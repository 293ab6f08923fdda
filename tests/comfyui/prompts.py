"""Flat prompts, and their import."""

from __future__ import annotations

import copy
from typing import Any

from graphflow.converters.comfyui import Imported, to_native, to_prompt
from graphflow.planning.validate import validate
from graphflow.spec.registry import installed

REGISTRY = installed()


def node(type: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": type, "inputs": inputs}


def prompt(**changed: Any) -> dict[str, Any]:
    """Text to image, with nodes changed or added."""
    nodes = {
        "4": node("CheckpointLoaderSimple", ckpt_name="SD1.5\\model.safetensors"),
        "5": node("EmptyLatentImage", width=512, height=768, batch_size=2),
        "6": node("CLIPTextEncode", text="a fox", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="bad", clip=["4", 1]),
        "3": node(
            "KSampler", seed=5, steps=20, cfg=8, sampler_name="euler", scheduler="normal", denoise=1.0,
            model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="fox"),
    }  # fmt: skip
    return {**nodes, **{key.removeprefix("n"): value for key, value in changed.items()}}


def imported(source: dict[str, Any]) -> Imported:
    return to_native(to_prompt(copy.deepcopy(source)), registry=REGISTRY)


def sound(source: dict[str, Any]) -> Imported:
    """Import, and check that the result is a document without a problem."""
    result = imported(source)
    assert result.report.unsupported == ()
    assert validate(result.require(), REGISTRY).problems == []
    return result
