"""What plain Diffusers needs on the tiny models: tokenizers, a scheduler, its loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphflow.values import Conditioning
from tests.models.tiny import SCHEDULER


def latents() -> Tensor:
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))


def tokenizers(pads: tuple[str, ...]) -> list[Any]:
    from transformers import CLIPTokenizer

    from graphflow.families.latent_diffusion.tokenizers import clip_vocabulary

    vocab, merges = clip_vocabulary()
    return [CLIPTokenizer(vocab=dict(vocab), merges=list(merges), pad_token=pad, model_max_length=77) for pad in pads]


def scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler.from_config(SCHEDULER)


def ddim(loaded: Any, positive: Conditioning, negative: Conditioning, steps: int, scale: float) -> Tensor:
    """A plain DDIM loop over the components."""
    noise = scheduler()
    noise.set_timesteps(steps)
    x = latents()
    for time in noise.timesteps:
        both = loaded.predict(torch.cat([x, x]), time.expand(2), [*negative.entries, *positive.entries], sigma=None)
        without, told = both.chunk(2)
        x = noise.step(without + scale * (told - without), time, x).prev_sample
    return x / loaded.latent.scale
