"""ControlNets: residuals that steer a UNet by a picture (Zhang et al. 2023, arXiv:2302.05543)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.families.inference import inference
from graphflow.values import ConditioningEntry, Control

if TYPE_CHECKING:
    from graphflow.families.unet import UNetModel

Residuals = tuple[list[Tensor] | None, Tensor | None]
"""What is added to the UNet's skip connections, and to its middle."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlModel:
    """What `ControlNet.use()` gives.

    Attributes:
        module: A Diffusers `ControlNetModel`.
        device: Where it computes.
        dtype: Dtype it computes in.
        downscale: Pixels per latent sample along an edge.
    """

    module: Any
    device: torch.device
    dtype: torch.dtype
    downscale: int = 8

    @inference
    def residuals(
        self, x: Tensor, timestep: Tensor, context: Tensor, hint: Tensor, added: Mapping[str, Tensor] | None
    ) -> tuple[list[Tensor], Tensor]:
        """The residuals at full strength.

        Args:
            x: (N, C, h, w) scaled as the UNet gets it.
            timestep: (N,).
            context: (N, T, D) text embedding.
            hint: (1 or N, 3, H, W) in [0, 1]; resized to the latent's pixels.
            added: What SDXL is told beside the text.
        """
        size = (x.shape[-2] * self.downscale, x.shape[-1] * self.downscale)
        if hint.shape[-2:] != size:
            hint = functional.interpolate(hint, size=size, mode="nearest-exact")
        if len(hint) != len(x):
            hint = hint.repeat(-(-len(x) // len(hint)), 1, 1, 1)[: len(x)]
        down, mid = self.module(
            x.to(self.device, self.dtype),
            timestep.to(self.device),
            encoder_hidden_states=context.to(self.device, self.dtype),
            controlnet_cond=hint.to(self.device, self.dtype),
            added_cond_kwargs=None if added is None else {k: v.to(self.device, self.dtype) for k, v in added.items()},
            return_dict=False,
        )
        return list(down), mid


def residuals(
    model: UNetModel,
    x: Tensor,
    timestep: Tensor,
    entries: Sequence[ConditioningEntry],
    context: Tensor,
    added: Mapping[str, Tensor] | None,
) -> Residuals:
    """The sum of what the entries' ControlNets say; entries that are evaluated together share their controls."""
    total: list[Tensor] | None = None
    middle: Tensor | None = None
    for control in entries[0].controls:
        down, mid = _one(control, x, timestep, context, added)
        down = [item.to(model.device, model.dtype) * control.strength for item in down]
        mid = mid.to(model.device, model.dtype) * control.strength
        total = down if total is None else [a + b for a, b in zip(total, down, strict=True)]
        middle = mid if middle is None else middle + mid
    return total, middle


def _one(
    control: Control, x: Tensor, timestep: Tensor, context: Tensor, added: Mapping[str, Tensor] | None
) -> tuple[list[Tensor], Tensor]:
    with control.net.use() as net:
        found: tuple[list[Tensor], Tensor] = net.residuals(x, timestep, context, control.hint, added)
        return found
