"""Qwen-Image's transformer as the sampling loop sees it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.patches import pack, unpack, whole_patches
from graphflow.families.qwen_image.places import METHODS, Grid
from graphflow.values import ConditioningEntry

_BYTES_PER_TOKEN = 34
"""Numbers that a block holds at its peak for each token and channel: joint query, key and value, and the perceptron."""


@dataclass(kw_only=True, eq=False)
class QwenImageDenoiser(FlowDenoiser):
    """What `Model.use()` gives for a Qwen-Image model; latents are (B, 16, frames, h, w).

    Extras of a conditioning entry that it reads: `reference_latents`, and `reference_method`.
    """

    @property
    def text_width(self) -> int:
        """Width C of the text embeddings that it reads."""
        width: int = self.module.config.joint_attention_dim
        return width

    def memory(self, shape: Sequence[int]) -> int:
        """Bytes that an evaluation of one latent (C, frames, h, w) of this shape takes at its peak, beside the weights."""
        config = self.module.config
        tokens = math.prod(shape[1:]) // 4 + 512
        return int(
            tokens * config.num_attention_heads * config.attention_head_dim * self.dtype.itemsize * _BYTES_PER_TOKEN
        )

    @inference
    def predict(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor | None = None,
        variation: str | None = None,
    ) -> Tensor:
        """The flow's velocity, see :meth:`graphflow.sampling.network.Denoiser.predict`.

        Raises:
            InvalidInputError: The entries do not fit the network.
        """
        return self.by_references(x, timestep, entries, self._evaluate)

    def _evaluate(self, x: Tensor, timestep: Tensor, entries: Sequence[ConditioningEntry]) -> Tensor:
        batch = len(x) // len(entries)
        tokens, shape = _tokens(x.to(self.device, self.dtype))
        grids, count = [Grid(*shape)], tokens.shape[1]
        references = [_tokens(reference) for reference in self.references(entries, batch)]
        method = self.reference_method(
            entries, METHODS, "index_timestep_zero" if self.module.config.zero_cond_t else "index"
        )
        if references:
            tokens = torch.cat([tokens, *(found for found, _ in references)], dim=1)
            grids += METHODS[method]([size for _, size in references])
        time = timestep.to(self.device, torch.float32)
        with (
            _clean_references(self.module, clean=bool(references) and method == "index_timestep_zero"),
            exact_numbers(self.module.time_text_embed.time_proj, time),
        ):
            output: Tensor = self.module(
                hidden_states=tokens,
                encoder_hidden_states=self.text(entries, batch, self.module.config.joint_attention_dim),
                timestep=time,
                img_shapes=[grids] * len(x),
                return_dict=False,
            )[0]
        frames = output[:, :count].unflatten(1, (shape[0], -1)).flatten(0, 1)
        return unpack(frames, *x.shape[-2:]).unflatten(0, (len(x), -1)).transpose(1, 2)


def _tokens(latent: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """Tokens (B, n, 4 C) of latents (B, C, frames, h, w), or (B, C, h, w) of one frame, and (frames, rows, columns)."""
    frames = latent.unsqueeze(2) if latent.dim() == 4 else latent
    planes = whole_patches(frames.transpose(1, 2).flatten(0, 1))
    shape = (frames.shape[2], planes.shape[-2] // 2, planes.shape[-1] // 2)
    return pack(planes).reshape(len(latent), math.prod(shape), -1), shape


@contextmanager
def _clean_references(module: Any, *, clean: bool) -> Iterator[None]:
    """Have the network take references for pictures without noise, or not, until the block ends."""
    parts = (module, *module.transformer_blocks)
    before = module.zero_cond_t
    try:
        for part in parts:
            part.zero_cond_t = clean
        yield
    finally:
        for part in parts:
            part.zero_cond_t = before
