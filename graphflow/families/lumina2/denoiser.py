"""Lumina 2's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.families.flow.next_dit import NextDenoiser, further
from graphflow.pixels.batches import cycled
from graphflow.values import ConditioningEntry


@dataclass(kw_only=True, eq=False)
class Lumina2Denoiser(NextDenoiser):
    """What `Model.use()` gives for a Lumina 2 model; of a conditioning entry it reads the embedding and its mask."""

    numbers_per_token = 28

    def evaluate(self, latent: Tensor, time: Tensor, text: Tensor, entries: Sequence[ConditioningEntry]) -> Tensor:
        """The network's output; tokens that a mask leaves out are not attended to."""
        rope, (rows, columns) = self.module.rope_embedder, (edge // 2 for edge in latent.shape[-2:])
        if (longer := further(rope.axes_lens, text.shape[1] + 1, rows, columns)) is not None:
            self.module.rope_embedder = type(rope)(rope.theta, rope.axes_dim, longer, rope.patch_size)
        batch = len(text) // len(entries)
        masks = [
            torch.ones(1, text.shape[1]) if entry.attention_mask is None else entry.attention_mask for entry in entries
        ]
        output: Tensor = self.module(
            hidden_states=latent,
            timestep=time,
            encoder_hidden_states=text,
            encoder_attention_mask=torch.cat([cycled(mask, batch) for mask in masks]).to(self.device, torch.long),
            return_dict=False,
        )[0]
        return output
