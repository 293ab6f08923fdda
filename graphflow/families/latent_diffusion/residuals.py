"""What ControlNets and T2I-Adapters add inside a UNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Residuals:
    """What is added inside a UNet.

    Attributes:
        skips: To its skip connections, from the outside inwards; None: nothing.
        middle: To its middle; None: nothing.
        blocks: To the last layer of each level of its encoder (T2I-Adapters); None: nothing.
    """

    skips: list[Tensor] | None = None
    middle: Tensor | None = None
    blocks: list[Tensor] | None = None

    def scaled(self, factor: float) -> Residuals:
        """These, times a factor."""
        return Residuals(
            skips=None if self.skips is None else [item * factor for item in self.skips],
            middle=None if self.middle is None else self.middle * factor,
            blocks=None if self.blocks is None else [item * factor for item in self.blocks],
        )

    def plus(self, other: Residuals) -> Residuals:
        """The sum of both."""
        return Residuals(
            skips=_added(self.skips, other.skips),
            middle=_sum(self.middle, other.middle),
            blocks=_added(self.blocks, other.blocks),
        )

    def arguments(self, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """Arguments of a Diffusers UNet, which may write to the lists."""
        return {
            "down_block_additional_residuals": _moved(self.skips, device, dtype),
            "mid_block_additional_residual": None if self.middle is None else self.middle.to(device, dtype),
            "down_intrablock_additional_residuals": _moved(self.blocks, device, dtype),
        }


def _moved(tensors: list[Tensor] | None, device: torch.device, dtype: torch.dtype) -> list[Tensor] | None:
    return None if tensors is None else [item.to(device, dtype) for item in tensors]


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _added(one: list[Tensor] | None, other: list[Tensor] | None) -> list[Tensor] | None:
    if one is None or other is None:
        return other if one is None else one
    return [a + b for a, b in zip(one, other, strict=True)]
