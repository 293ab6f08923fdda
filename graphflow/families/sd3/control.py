"""Stable Diffusion 3's ControlNets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.control import FlowControl, Residuals, spread
from graphflow.families.flow.patches import whole_patches
from graphflow.sampling.latent_space import space_of
from graphflow.values import Vae

BLOCKS = "block_controlnet_hidden_states"


@dataclass(kw_only=True, eq=False)
class Sd3Control(FlowControl):
    """A ControlNet of Stable Diffusion 3: a Diffusers `SD3ControlNetModel`.

    Attributes:
        canny: Whether it is Stability AI's for edges, which was trained on pictures of another range.
    """

    canny: bool = False

    @inference
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """The picture's latents (K, C, h, w); of InstantX's ControlNets without the model's shift."""
        config = self.module.config
        paints = config.extra_conditioning_channels > 0
        if self.canny:
            # 255 p / 2 + 1 / 2 where all others read 2 p - 1; see the model's card.
            hint = hint.where(hint < 0, (hint * 255 / 2 + 1.5) / 2)
        shifted = paints or not config.force_zeros_for_pooled_projection
        space = space_of(self.latent if shifted else replace(self.latent, shift=0.0))
        return [whole_patches(self.latents(hint, height, width, vae, paints=paints, space=space), config.patch_size)]

    @inference
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """See :meth:`FlowControl.residuals`.

        Raises:
            InvalidInputError: The picture is larger than it knows places for.
        """
        net, latent, pooled = self.module, told["hidden_states"], told["pooled_projections"]
        config = net.config
        if net.pos_embed is None:  # Stability AI's have the transformer's
            latent = transformer.pos_embed(latent)
        elif max(latent.shape[-2:]) > (most := config.pos_embed_max_size * config.patch_size):
            raise InvalidInputError(
                f"the ControlNet knows places for pictures of up to {most * self.latent.downscale} pixels along an edge",
                where="control_net",
                advice="make a smaller picture and upscale it",
            )
        (samples,) = net(
            hidden_states=latent,
            controlnet_cond=encoded[0],
            encoder_hidden_states=None if self.width is None else told["encoder_hidden_states"],
            pooled_projections=torch.zeros_like(pooled) if config.force_zeros_for_pooled_projection else pooled,
            timestep=told["timestep"],
            return_dict=False,
        )
        return spread(BLOCKS, samples, len(transformer.transformer_blocks), strength, whole=False)
