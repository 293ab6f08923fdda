"""Z-Image's ControlNets (alibaba-pai's Fun)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.families.flow.control import FlowControl, require_layers
from graphflow.families.flow.residuals import Residuals
from graphflow.families.z_image.steering import z_image_hint, z_image_residuals
from graphflow.values import Vae


@dataclass(kw_only=True, eq=False)
class ZImageControl(FlowControl):
    """A ControlNet of Z-Image: a Diffusers `ZImageControlNetModel`, which reads all kinds of pictures alike."""

    @property
    def width(self) -> None:
        """None: the text comes through the transformer's own layers."""
        return

    @property
    def inner(self) -> int:
        """Width of its tokens, which is the transformer's."""
        return int(self.module.config.dim)

    @inference
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """The latents (K, C, h, w) of the picture and, of later ones, what is known of another one to be filled in."""
        return [
            z_image_hint(self.module, self.filled_latents(hint, height, width, vae, self.module.config.control_in_dim))
        ]

    @inference
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """See :meth:`FlowControl.residuals`.

        Raises:
            InvalidInputError: It steers layers that the transformer has not.
        """
        require_layers(self.module.config.control_layers_places, len(transformer.layers))
        return z_image_residuals(self.module, encoded[0], told, strength, transformer)
