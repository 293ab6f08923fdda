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
from graphflow.families.flow.control import by_block
from graphflow.families.flow.denoiser import FlowDenoiser, exact_numbers
from graphflow.families.flow.patches import unpack
from graphflow.families.latent_diffusion.saving import UNET
from graphflow.families.qwen_image.blockwise import Acting, QwenImageBlockwise, acting
from graphflow.families.qwen_image.config import TIME_ZERO
from graphflow.families.qwen_image.control import BLOCKS, QwenImageControl
from graphflow.families.qwen_image.places import METHODS, Grid
from graphflow.families.qwen_image.tokens import tokens_of
from graphflow.values import ConditioningEntry

_BYTES_PER_TOKEN = 34
"""Numbers that a block holds at its peak for each token and channel: joint query, key and value, and the perceptron."""


@dataclass(kw_only=True, eq=False)
class QwenImageDenoiser(FlowDenoiser):
    """What `Model.use()` gives for a Qwen-Image model; latents are (B, 16, frames, h, w), where frames may be layers.

    Extras of a conditioning entry that it reads: `reference_latents`, and `reference_method`.
    """

    steered_by = QwenImageControl

    @property
    def text_width(self) -> int:
        """Width C of the text embeddings that it reads."""
        width: int = self.module.config.joint_attention_dim
        return width

    def file_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any], str]:
        """Its tensors, with the one by which files tell how references are timed."""
        tensors, config, architecture = super().file_tensors()
        if self.module.config.zero_cond_t:
            tensors[UNET + TIME_ZERO] = torch.zeros(0)
        return tensors, config, architecture

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
        tokens, shape = tokens_of(x.to(self.device, self.dtype))
        grids, count = [Grid(*shape)], tokens.shape[1]
        references = [tokens_of(reference) for reference in self.references(entries, batch)]
        config = self.module.config
        layered: bool = config.use_additional_t_cond
        method = self.reference_method(
            entries,
            METHODS,
            "negative_index" if layered else "index_timestep_zero" if config.zero_cond_t else "index",
        )
        if references:
            tokens = torch.cat([tokens, *(found for found, _ in references)], dim=1)
            grids += METHODS[method]([size for _, size in references])
        time = timestep.to(self.device, torch.float32)
        told = {
            "encoder_hidden_states": self.text(entries, batch, self.module.config.joint_attention_dim),
            "timestep": time,
        }
        picture = {"hidden_states": tokens[:, :count], "img_shapes": [grids[:1]] * len(x)}
        steering = self.steering(entries, x.shape, told | picture, self.module.inner_dim)
        with (
            acting(self._blockwise(entries, x.shape), self.module, count),
            _clean_references(self.module, clean=bool(references) and method == "index_timestep_zero"),
            exact_numbers(self.module.time_text_embed.time_proj, time),
        ):
            output: Tensor = self.module(
                **told,
                **by_block(steering, {BLOCKS: len(self.module.transformer_blocks)}, tokens.shape[1] - count),
                hidden_states=tokens,
                img_shapes=[grids] * len(x),
                # 1 would say that all layers are opaque pictures.
                additional_t_cond=torch.zeros(len(x), dtype=torch.long, device=self.device) if layered else None,
                return_dict=False,
            )[0]
        frames = output[:, :count].unflatten(1, (shape[0], -1)).flatten(0, 1)
        return unpack(frames, *x.shape[-2:]).unflatten(0, (len(x), -1)).transpose(1, 2)

    def _blockwise(self, entries: Sequence[ConditioningEntry], size: Sequence[int]) -> Acting:
        found: list[tuple[QwenImageBlockwise, Tensor, float]] = []
        for control in (*entries[0].controls, *self.everywhere):
            if isinstance(net := self.controls.net(control.net), QwenImageBlockwise):
                batch = size[0] // len(entries)
                (picture,) = self.controls.encoded(control, size[-2], size[-1], batch, len(entries))
                found.append((net, picture, control.strength))
        return found


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
