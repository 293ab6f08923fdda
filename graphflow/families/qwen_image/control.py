"""Qwen-Image's ControlNets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.control import FlowControl
from graphflow.families.flow.residuals import Residuals
from graphflow.families.qwen_image.steering import qwen_hint, qwen_residuals
from graphflow.values import Vae


@dataclass(kw_only=True, eq=False)
class QwenImageControl(FlowControl):
    """A ControlNet of Qwen-Image: a Diffusers `QwenImageControlNetModel`, which reads all kinds of pictures alike."""

    @inference
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """The tokens (K, n, C) of the picture's latents."""
        paints = self.module.config.extra_condition_channels > 0
        return [qwen_hint(self.module, self.latents(hint, height, width, vae, paints=paints))]

    @inference
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """See :meth:`FlowControl.residuals`.

        Raises:
            InvalidInputError: Several frames are sampled.
        """
        require_one_frame(encoded[0], told)
        return qwen_residuals(self.module, encoded[0], told, strength, transformer)


def require_one_frame(tokens: Tensor, told: Mapping[str, Any]) -> None:
    """Refuse latents of several frames, which one picture cannot steer."""
    if tokens.shape[1] != told["hidden_states"].shape[1]:
        raise InvalidInputError(
            "ControlNets of Qwen-Image steer single pictures, and several layers or frames are sampled",
            where="latent",
            advice="sample one picture, or take the ControlNet out",
        )
