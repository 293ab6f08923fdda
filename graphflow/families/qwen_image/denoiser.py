"""Qwen-Image's transformer as the sampling loop sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.qwen_image.network import qwen_image_velocity
from graphflow.families.qwen_image.places import QWEN_METHODS
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
        method = self.reference_method(
            entries, QWEN_METHODS, "index_timestep_zero" if self.module.config.zero_cond_t else "index"
        )
        return qwen_image_velocity(
            self.module,
            x.to(self.device, self.dtype),
            timestep.to(self.device, torch.float32),
            embeds=self.text(entries, batch, self.module.config.joint_attention_dim),
            references=self.references(entries, batch),
            arrange=QWEN_METHODS[method],
        )
