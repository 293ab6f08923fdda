"""The recordings' own ComfyUI nodes, as native nodes with rules: inputs from names, one guided evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from graphflow import node
from graphflow.converters.comfyui import rules
from graphflow.converters.comfyui.building import Builder, Source
from graphflow.converters.comfyui.rules import Rule
from graphflow.converters.comfyui.rules.rule import AnyRule, Made
from graphflow.families.sd3.text import WIDTHS
from graphflow.sampling.denoiser import GuidedDenoiser
from graphflow.sampling.guidance import ClassifierFree
from graphflow.sampling.guiders import GUIDERS
from graphflow.sampling.image_prompts import PROMPTS
from graphflow.sampling.regions import make_regions
from graphflow.spec import registry
from graphflow.spec.registry import Registry
from graphflow.values import Conditioning, ConditioningEntry, Guider, Image, ImageEncoder, Latent, Mask, Model
from tests.families.recorded_models import noise


@node("lab_conditioning")
def lab_conditioning(
    name: str, tokens: int, width: int, pooled: int = 0, scale: float = 1.0, mask_from: int = -1
) -> Conditioning:
    """Return random conditioning."""
    entry = ConditioningEntry(
        embedding=torch.from_numpy(noise("cond", name, (1, tokens, width))) * scale,
        pooled=torch.from_numpy(noise("cond", f"{name}/pooled", (1, pooled))) if pooled else None,
        attention_mask=(torch.arange(tokens) < mask_from).long()[None] if mask_from >= 0 else None,
    )
    return Conditioning(entries=(entry,))


@node("lab_latent")
def lab_latent(name: str, shape: list[int], scale: float = 1.0) -> Latent:
    """Return a random raw latent."""
    return Latent(samples=torch.from_numpy(noise("latent", name, tuple(shape))) * scale)


@node("lab_image")
def lab_image(name: str, frames: int, height: int, width: int) -> Image:
    """Return random pictures of 4 x 4 blocks."""
    small = noise("image", name, (frames, height // 4, width // 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    pixels = torch.from_numpy(np.clip(0.5 + 0.25 * small, 0, 1).astype(np.float32))
    return Image(pixels=pixels.permute(0, 3, 1, 2))


@node("lab_mask")
def lab_mask(height: int, width: int, top: int, left: int, bottom: int, right: int) -> Mask:
    """Return a mask of ones inside a box."""
    values = torch.zeros(1, height, width)
    values[:, top:bottom, left:right] = 1
    return Mask(values=values)


@node("lab_eval", lane="device")
def lab_eval(
    model: Model,
    positive: Conditioning,
    latent: Latent,
    sigma: float,
    negative: Conditioning | None = None,
    cfg: float = 1.0,
) -> Latent:
    """Evaluate a model once at a latent that is taken as it is in the model's space."""
    told = {"positive": positive, **({} if negative is None else {"negative": negative})}
    return _evaluated(model, told, ClassifierFree(scale=cfg), latent, sigma)


@node("lab_image_prompt")
def lab_image_prompt(
    conditioning: Conditioning, name: str, width: int, strength: float = 1.0, noise_augmentation: float = 0.0
) -> Conditioning:
    """Prompt by random vectors."""
    vectors = torch.from_numpy(noise("clipvision", f"{name}/image_embeds", (1, width)))
    return Conditioning(
        entries=tuple(
            replace(
                entry,
                extras={
                    **entry.extras,
                    PROMPTS: (*entry.extras.get(PROMPTS, ()), (vectors, strength, noise_augmentation)),
                },
            )
            for entry in conditioning.entries
        )
    )


@node("lab_seen", lane="device")
def lab_seen(image_encoder: ImageEncoder, image: Image, crop: str = "center") -> Conditioning:
    """Return what an image encoder sees."""
    with image_encoder.use() as encoder:
        tokens = encoder.tokens(image.pixels, crop)
        found = {"last_hidden_state": tokens}
        if encoder.projects:
            found["image_embeds"] = encoder.vectors(image.pixels, crop)
    return Conditioning(entries=(ConditioningEntry(embedding=tokens, extras=found),))


def _seen(builder: Builder, source: Source) -> list[Any]:
    picture = source.fused("clip_vision_output", "encoded picture")
    assert picture is not None
    return [builder.add(source, "lab_seen", picture.parts, ids=picture.ids)]


@node("lab_eval_guider", lane="device")
def lab_eval_guider(guider: Guider, latent: Latent, sigma: float) -> Latent:
    """Evaluate a guider once at a latent that is taken as it is in the model's space."""
    return _evaluated(guider.model, guider.sides, GUIDERS[guider.method](**guider.options), latent, sigma)


def _evaluated(model: Model, told: Mapping[str, Conditioning], formula: Any, latent: Latent, sigma: float) -> Latent:
    x = latent.samples
    level = torch.tensor(sigma)
    with model.use() as denoiser:
        height, width = (edge * denoiser.latent.downscale for edge in x.shape[-2:])
        told = {**told, **denoiser.further_sides}
        completed = {
            name: denoiser.complete(side, height, width, negative=name == "negative") for name, side in told.items()
        }
        guided = GuidedDenoiser(
            predict=denoiser.predict,
            model_sampling=denoiser.model_sampling,
            guider=formula,
            sides={
                name: make_regions(side.entries, x, denoiser.latent.downscale)
                for name, side in denoiser.painting(completed, x, None).items()
            },
            modifiers=denoiser.guidance,
        )
        return replace(latent, samples=guided(x, level))


PACK = (lab_seen, lab_image_prompt, lab_conditioning, lab_latent, lab_image, lab_mask, lab_eval, lab_eval_guider)
_RULES: tuple[AnyRule, ...] = (
    Rule("LabConditioning", "lab_conditioning", "name tokens width pooled scale mask_from"),
    Rule("LabUnclipConditioning", "lab_image_prompt", "conditioning name width strength noise_augmentation"),
    Made("LabClipVisionTap", ("lab_seen",), _seen, says="lab_seen"),
    Rule("LabLatent", "lab_latent", "name shape scale"),
    Rule("LabImage", "lab_image", "name frames height width"),
    Rule("LabMask", "lab_mask", "height width top left bottom right"),
    Rule("LabEval", "lab_eval", "model positive latent sigma negative cfg"),
    Rule("LabEvalGuider", "lab_eval_guider", "guider latent sigma"),
)


_WIDTHS = {"text_encoder": 64, "text_encoder_2": 96, "text_encoder_3": 192}
"""Of Stable Diffusion 3's encoders in the recordings, where one is missing."""


@contextmanager
def lab() -> Iterator[Registry]:
    """Have the importer read the lab's nodes until the block ends; gives the registry that knows them."""
    known: Any = rules.RULES
    for rule in _RULES:
        known[rule.comfy] = rule
    try:
        with patch.dict(WIDTHS, _WIDTHS):
            yield registry.installed().with_nodes(PACK, pack="lab")
    finally:
        for rule in _RULES:
            del known[rule.comfy]
