"""FLUX.1's ControlNets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphflow import runtime
from graphflow.basics.inference import inference
from graphflow.families.flow.control import FlowControl, Residuals, spread
from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.patches import pack, whole_patches
from graphflow.values import Vae

DOUBLE, SINGLE = "controlnet_block_samples", "controlnet_single_block_samples"
_KINDS = {"hard_edges": 0, "tile": 1, "depth": 2, "blur": 3, "openpose": 4, "gray": 5, "low_quality": 6}
"""As InstantX and Shakker number them."""


@dataclass(kw_only=True, eq=False)
class FluxControl(FlowControl):
    """A ControlNet of FLUX.1: a Diffusers `FluxControlNetModel`."""

    @property
    def kinds(self) -> Mapping[str, int]:
        """Numbers of the kinds of pictures that a union ControlNet can get."""
        known = self.module.config.num_mode or 0
        return {name: number for name, number in _KINDS.items() if number < known}

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
            features = self.module.input_hint_block((pixels * 2 - 1).to(self.device, self.dtype))
        else:
            paints = self.module.controlnet_x_embedder.in_features > self.module.config.in_channels
            features = self.latents(hint, height, width, vae, paints=paints)
        return [pack(whole_patches(features))]

    @inference
    def residuals(
        self, encoded: Sequence[Tensor], told: Mapping[str, Any], strength: float, transformer: Any
    ) -> Residuals:
        """See :meth:`FlowControl.residuals`."""
        net, (tokens,) = self.module, encoded
        guidance = told["guidance"] if net.config.guidance_embeds else None
        numbers = [1000 * told["timestep"].float(), *(() if guidance is None else (1000 * guidance,))]
        before = net.input_hint_block, net.union
        # The picture has been through the former; the latter is as it was told.
        net.input_hint_block, net.union = None, self.union_type is not None
        try:
            with exact_numbers(net.time_text_embed.time_proj, *numbers):
                double, single = net(
                    **{**told, "guidance": guidance},
                    controlnet_cond=tokens,
                    controlnet_mode=self._mode(len(tokens)),
                    return_dict=False,
                )
        finally:
            net.input_hint_block, net.union = before
        blocks = len(transformer.transformer_blocks)
        if before[0] is not None and double:  # x-labs' act on all blocks, in turns
            double = [double[block % len(double)] for block in range(blocks)]
        return spread(DOUBLE, double, blocks, strength) | spread(
            SINGLE, single, len(transformer.single_transformer_blocks), strength
        )

    def _mode(self, items: int) -> Tensor | None:
        if self.union_type is None:
            return None
        return torch.full((items, 1), self.union_type, device=self.device)
