"""FLUX.1's ControlNets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphflow import runtime
from graphflow.basics.inference import inference
from graphflow.families.flow.control import FlowControl
from graphflow.families.flow.residuals import Residuals
from graphflow.families.flux.control_config import control_kinds
from graphflow.families.flux.steering import flux_hint, flux_residuals
from graphflow.values import Vae


@dataclass(kw_only=True, eq=False)
class FluxControl(FlowControl):
    """A ControlNet of FLUX.1: a Diffusers `FluxControlNetModel`."""

    @property
    def kinds(self) -> Mapping[str, int]:
        """Numbers of the kinds of pictures that a union ControlNet can get."""
        return control_kinds(self.module.config)

    @inference
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """The picture's tokens (K, n, C): of its pixels for x-labs' ControlNets, of its latents for the others."""
        if self.kinds and self.union_type is None:
            runtime.current().notice(
                "the union ControlNet is not told what kind of picture it gets, and steers less for it;"
                " set_union_control_type tells it"
            )
        if self.module.input_hint_block is not None:
            pixels, _ = self.pixels(hint, height, width)
            picture = (pixels * 2 - 1).to(self.device)
        else:
            paints = self.module.controlnet_x_embedder.in_features > self.module.config.in_channels
            picture = self.latents(hint, height, width, vae, paints=paints)
        return [flux_hint(self.module, picture)]

    @inference
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """See :meth:`FlowControl.residuals`."""
        return flux_residuals(self.module, encoded[0], told, strength, transformer, self.union_type)
