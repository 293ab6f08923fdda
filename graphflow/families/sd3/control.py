"""Stable Diffusion 3's ControlNets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.control import FlowControl
from graphflow.families.flow.residuals import Residuals
from graphflow.families.sd3.steering import sd3_hint, sd3_residuals
from graphflow.sampling.latent_space import space_of
from graphflow.values import Vae


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
        return [sd3_hint(self.module, self.latents(hint, height, width, vae, paints=paints, space=space))]

    @inference
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """See :meth:`FlowControl.residuals`.

        Raises:
            InvalidInputError: The picture is larger than it knows places for.
        """
        config, latent = self.module.config, told["hidden_states"]
        most = (config.pos_embed_max_size or 0) * config.patch_size
        if self.module.pos_embed is not None and max(latent.shape[-2:]) > most:
            raise InvalidInputError(
                f"the ControlNet knows places for pictures of up to {most * self.latent.downscale} pixels along an edge",
                where="control_net",
                advice="make a smaller picture and upscale it",
            )
        return sd3_residuals(self.module, encoded[0], told, strength, transformer)
