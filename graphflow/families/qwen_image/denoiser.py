"""Qwen-Image's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.flow.residuals import block_lists
from graphflow.families.latent_diffusion.saving import UNET
from graphflow.families.qwen_image.blockwise import Acting, QwenImageBlockwise, acting
from graphflow.families.qwen_image.config import TIME_ZERO
from graphflow.families.qwen_image.control import QwenImageControl
from graphflow.families.qwen_image.family import FAMILY
from graphflow.families.qwen_image.network import qwen_image_velocity
from graphflow.families.qwen_image.places import QWEN_METHODS, Grid
from graphflow.families.qwen_image.steering import QWEN_BLOCKS
from graphflow.families.qwen_image.tokens import tokens_of
from graphflow.values import ConditioningEntry


@dataclass(kw_only=True, eq=False)
class QwenImageDenoiser(FlowDenoiser):
    """What `Model.use()` gives for a Qwen-Image model; latents are (B, 16, frames, h, w), where frames may be layers.

    Extras of a conditioning entry that it reads: `reference_latents`, and `reference_method`.
    """

    footprint = FAMILY.footprint
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
        here, time = x.to(self.device, self.dtype), timestep.to(self.device, torch.float32)
        tokens, shape = tokens_of(here)
        references = self.references(entries, batch)
        config = self.module.config
        method = self.reference_method(
            entries,
            QWEN_METHODS,
            "negative_index"
            if config.use_additional_t_cond
            else "index_timestep_zero"
            if config.zero_cond_t
            else "index",
        )
        text = self.text(entries, batch, config.joint_attention_dim)
        told = {"encoder_hidden_states": text, "timestep": time}
        picture = {"hidden_states": tokens, "img_shapes": [[Grid(*shape)]] * len(x)}
        steering = self.steering(entries, x.shape, told | picture, self.module.inner_dim)
        beyond = sum(tokens_of(reference)[0].shape[1] for reference in references)
        return qwen_image_velocity(
            self.module,
            here,
            time,
            embeds=text,
            references=references,
            arrange=QWEN_METHODS[method],
            within=partial(acting, self._blockwise(entries, x.shape), self.module, tokens.shape[1]),
            **block_lists(steering, {QWEN_BLOCKS: len(self.module.transformer_blocks)}, beyond),
        )

    def _blockwise(self, entries: Sequence[ConditioningEntry], size: Sequence[int]) -> Acting:
        found: list[tuple[Any, Tensor, float]] = []
        for control in (*entries[0].controls, *self.everywhere):
            if isinstance(net := self.controls.net(control.net), QwenImageBlockwise):
                batch = size[0] // len(entries)
                (picture,) = self.controls.encoded(control, size[-2], size[-1], batch, len(entries))
                found.append((net.module, picture, control.strength))
        return found
