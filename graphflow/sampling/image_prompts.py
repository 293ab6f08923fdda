"""Prompts by pictures as vectors: unCLIP (Ramesh et al. 2022, arXiv:2204.06125) and SDXL's revision.

What is computed, and from which random numbers, is ComfyUI's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from graphflow.values import ConditioningEntry

PROMPTS = "image_prompts"
"""The extra of an entry with its pictures: (vectors (N, D) of an image encoder, strength, noise augmentation) each."""

LEVELS = 1000
_SEED_OFFSET = -10
"""Noise on what pictures say comes from the sampling's seed, shifted, so that it is not the latent's."""


Prompts = Sequence[tuple[Tensor, float, float]]


def taken_prompts(entry: ConditioningEntry) -> tuple[ConditioningEntry, Prompts]:
    """An entry without its pictures, and these."""
    extras = dict(entry.extras)
    prompts: Prompts = extras.pop(PROMPTS, ())
    return replace(entry, extras=extras), prompts


def picture_noise(seed: int) -> torch.Generator:
    """The random numbers that are added to the pictures of a prompt."""
    return torch.Generator().manual_seed(seed + _SEED_OFFSET)


def image_vector(prompts: Prompts, seed: int, *, merged_noise: float) -> Tensor:
    """One vector for all pictures of a prompt, with its noise level behind it.

    Args:
        prompts: (vectors (N, D), strength, noise augmentation in [0, 1]) each.
        seed: Seed of the sampling.
        merged_noise: Noise augmentation of the sum of several pictures, in [0, 1].

    Returns:
        (1, 2 D): the noised vector and the sinusoids of the level.
    """
    made = []
    for vectors, strength, amount in prompts:
        for vector in vectors.float().split(1):
            generator = picture_noise(seed)
            made.append(_noised(vector, amount, generator) * strength)
    if len(made) == 1:
        return made[0]
    total = torch.stack(made).sum(dim=0)
    return _noised(total[:, : total.shape[1] // 2], merged_noise, generator)


def _noised(vector: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    level = round((LEVELS - 1) * amount)
    kept = _kept(level)
    noise = torch.randn(vector.shape, generator=generator)
    return torch.cat([kept**0.5 * vector + (1 - kept) ** 0.5 * noise, _sinusoids(level, vector.shape[1])], dim=1)


def _kept(level: int) -> float:
    """Share of the signal's variance at a level of the squared-cosine schedule (Nichol & Dhariwal 2021, arXiv:2102.09672)."""

    def curve(time: float) -> float:
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = (min(1 - curve((n + 1) / LEVELS) / curve(n / LEVELS), 0.999) for n in range(level + 1))
    return math.prod(1 - beta for beta in betas)


def _sinusoids(level: int, width: int) -> Tensor:
    """Cosines before sines, of frequencies from 1 down to 1/10000."""
    half = width // 2
    angles = level * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    return torch.cat([angles.cos(), angles.sin()])[None]
