"""Stable Diffusion 3's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.flow.patches import whole_patches
from graphflow.families.flow.residuals import block_lists
from graphflow.families.sd3.control import Sd3Control
from graphflow.families.sd3.family import FAMILY
from graphflow.families.sd3.network import sd3_velocity
from graphflow.families.sd3.steering import SD3_BLOCKS
from graphflow.values import ConditioningEntry


@dataclass(kw_only=True, eq=False)
class Sd3Denoiser(FlowDenoiser):
    """What `Model.use()` gives for a Stable Diffusion 3 model."""

    footprint = FAMILY.footprint
    steered_by = Sd3Control

    @property
    def text_width(self) -> int:
        """Width C of the text embeddings that it reads."""
        width: int = self.module.config.joint_attention_dim
        return width

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
            InvalidInputError: The entries do not fit the network, or the picture is larger than it knows places for.
        """
        config = self.module.config
        batch, (height, width) = len(x) // len(entries), x.shape[-2:]
        most = config.pos_embed_max_size * config.patch_size
        if max(height, width) > most:
            pixels = most * self.latent.downscale
            raise InvalidInputError(
                f"this model knows places for pictures of up to {pixels} x {pixels} pixels, not for"
                f" {width * self.latent.downscale} x {height * self.latent.downscale}",
                advice="make a smaller picture and upscale it",
            )
        here, time = x.to(self.device, self.dtype), timestep.to(self.device)
        text = self.text(entries, batch, config.joint_attention_dim)
        pooled = self.pooled(entries, batch, config.pooled_projection_dim)
        told = {
            "hidden_states": whole_patches(here, config.patch_size),
            "encoder_hidden_states": text,
            "pooled_projections": pooled,
            "timestep": time,
        }
        steering = self.steering(entries, x.shape, told, self.module.inner_dim)
        added = block_lists(steering, {SD3_BLOCKS: len(self.module.transformer_blocks)})
        with self.varied(variation):
            output = sd3_velocity(self.module, here, time, embeds=text, pooled=pooled, **added)
        return output.to(x.device, x.dtype)
