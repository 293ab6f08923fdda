"""Qwen-Image's ControlNets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.control import FlowControl, Residuals, spread
from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.qwen_image.tokens import tokens_of
from graphflow.values import Vae

BLOCKS = "controlnet_block_samples"


@dataclass(kw_only=True, eq=False)
class QwenImageControl(FlowControl):
    """A ControlNet of Qwen-Image: a Diffusers `QwenImageControlNetModel`, which reads all kinds of pictures alike."""

    @inference
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """The tokens (K, n, C) of the picture's latents."""
        paints = self.module.config.extra_condition_channels > 0
        return [tokens_of(self.latents(hint, height, width, vae, paints=paints))[0]]

    @inference
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """See :meth:`FlowControl.residuals`.

        Raises:
            InvalidInputError: Several frames are sampled.
        """
        net, (tokens,) = self.module, encoded
        require_one_frame(tokens, told)
        with exact_numbers(net.time_text_embed.time_proj, told["timestep"].float()):
            samples = net(**told, controlnet_cond=tokens, return_dict=False)
        return spread(BLOCKS, samples, len(transformer.transformer_blocks), strength)


def require_one_frame(tokens: Tensor, told: Mapping[str, Any]) -> None:
    """Refuse latents of several frames, which one picture cannot steer."""
    if tokens.shape[1] != told["hidden_states"].shape[1]:
        raise InvalidInputError(
            "ControlNets of Qwen-Image steer single pictures, and several layers or frames are sampled",
            where="latent",
            advice="sample one picture, or take the ControlNet out",
        )
