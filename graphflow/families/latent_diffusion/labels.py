"""What UNets with a class embedding are told beside the text: pictures (unCLIP), or how noisy their picture is.

Noise and levels are ComfyUI's, which takes both from the sampling's seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphflow.errors import InvalidInputError
from graphflow.families.latent_diffusion import upscaler
from graphflow.families.latent_diffusion.unet_config import task_of
from graphflow.sampling.geometry import task_vector
from graphflow.sampling.image_prompts import image_vector, picture_noise, taken_prompts
from graphflow.sampling.levels import training_sigmas
from graphflow.sampling.regions import PICTURE
from graphflow.values import ConditioningEntry

MERGED_NOISE = 0.05
"""Noise augmentation of the sum of several pictures."""
MOST_NOISE = 350
"""Level of an enlarged picture with noise augmentation 1."""
AUGMENTATION = "noise_augmentation"
"""The extra of an entry that says how much noise is added to the picture it enlarges, in [0, 1]."""
_VECTOR, _LEVEL = "image_vector", "noise_level"


def vector_width(config: Any) -> int:
    """Width of the vector that a UNet reads; 0 where there is none."""
    return int(config.projection_class_embeddings_input_dim) if config.get("class_embed_type") == "projection" else 0


def with_label(entry: ConditioningEntry, config: Any, seed: int) -> ConditioningEntry:
    """Make what the UNet reads from what nodes said.

    Raises:
        InvalidInputError: Another image encoder made the vectors.
    """
    if width := vector_width(config):
        return _with_vector(entry, width, seed)
    if not config.num_class_embeds or PICTURE not in entry.extras:
        return entry
    picture, amount = entry.extras[PICTURE], entry.extras.get(AUGMENTATION, 0.0)
    level = round(MOST_NOISE * amount)
    if amount > 0:
        kept = 1 / (1 + training_sigmas(upscaler.SCHEDULE)[level] ** 2)
        noise = torch.randn(picture.shape, generator=picture_noise(seed))
        picture = kept.sqrt() * picture + (1 - kept).sqrt() * noise
    return replace(entry, extras={**entry.extras, PICTURE: picture, _LEVEL: level})


def labels(entries: Sequence[ConditioningEntry], config: Any, batch: int) -> Tensor | None:
    """One label for each item of a batch: vectors (N, D), zeros where nothing was said, or levels (N,); None if it has none.

    Lotus gets its task.
    """
    if task_of(config) == "estimate":
        found = task_vector().repeat(len(entries), 1)
    elif width := vector_width(config):
        found = torch.cat([entry.extras.get(_VECTOR, torch.zeros(1, width)) for entry in entries])
    elif config.num_class_embeds:
        found = torch.tensor([entry.extras.get(_LEVEL, 0) for entry in entries])
    else:
        return None
    return found.repeat_interleave(batch, dim=0)


def _with_vector(entry: ConditioningEntry, width: int, seed: int) -> ConditioningEntry:
    bare, prompts = taken_prompts(entry)
    if not prompts:
        return entry
    vector = image_vector(prompts, seed, merged_noise=MERGED_NOISE)
    if vector.shape[1] != width:
        raise InvalidInputError(
            f"the image encoder makes vectors of width {vector.shape[1] // 2}, the model reads {width // 2}",
            where="image_encoder",
            advice="use the image encoder inside the checkpoint",
        )
    return replace(bare, extras={**bare.extras, _VECTOR: vector})
