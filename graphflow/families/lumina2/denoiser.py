"""Lumina 2's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from graphflow.families.flow.next_dit import NextDenoiser, further
from graphflow.values import ConditioningEntry


@dataclass(kw_only=True, eq=False)
class Lumina2Denoiser(NextDenoiser):
    """What `Model.use()` gives for a Lumina 2 model.

    Of a conditioning entry it reads the embedding, and a mask where that has zeros, which no encoder here gives: as in
    ComfyUI its numbers are added to the scores by which tokens of the text attend to each other.
    """

    numbers_per_token = 28

    def evaluate(self, latent: Tensor, time: Tensor, text: Tensor, entries: Sequence[ConditioningEntry]) -> Tensor:
        """The network's output.

        Raises:
            InvalidInputError: An entry has ControlNets.
        """
        self.refuse_controls(entries)
        rope, (rows, columns) = self.module.rope_embedder, (edge // 2 for edge in latent.shape[-2:])
        if (longer := further(rope.axes_lens, text.shape[1] + 1, rows, columns)) is not None:
            self.module.rope_embedder = type(rope)(rope.theta, rope.axes_dim, longer, rope.patch_size)
        masks = [entry.attention_mask for entry in entries if entry.attention_mask is not None]
        added = self.stacked(masks, len(text) // len(entries)) if masks else None
        with nullcontext() if added is None or bool(added.all()) else _Added(added[:, None, None]):
            output: Tensor = self.module(
                hidden_states=latent,
                timestep=time,
                encoder_hidden_states=text,
                encoder_attention_mask=torch.ones(text.shape[:2], dtype=torch.long, device=text.device),
                return_dict=False,
            )[0]
        return output


class _Added(TorchFunctionMode):  # type: ignore[misc]
    """Adds numbers (B, 1, 1, T) to the scores of attention that has a mask, in place of the mask."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.numbers = numbers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch."""
        given = dict(kwargs or {})
        if func is functional.scaled_dot_product_attention and given.get("attn_mask") is not None:
            given["attn_mask"] = self.numbers
        return func(*args, **given)
