"""Lumina 2's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from graphflow.families.flow.next_dit import NextDenoiser
from graphflow.families.lumina2.family import FAMILY
from graphflow.families.lumina2.network import lumina2_velocity
from graphflow.values import ConditioningEntry


@dataclass(kw_only=True, eq=False)
class Lumina2Denoiser(NextDenoiser):
    """What `Model.use()` gives for a Lumina 2 model.

    Of a conditioning entry it reads the embedding, and a mask where that has zeros, which no encoder here gives: as in
    ComfyUI its numbers are added to the scores by which tokens of the text attend to each other.
    """

    velocity = staticmethod(lumina2_velocity)
    footprint = FAMILY.footprint

    def heeding(self, entries: Sequence[ConditioningEntry]) -> AbstractContextManager[Any]:
        """Have the network add masks to scores of attention until the block ends."""
        masks = [entry.attention_mask for entry in entries if entry.attention_mask is not None]
        if not masks or all(bool(mask.all()) for mask in masks):
            return nullcontext()
        return _Added(torch.cat([mask.to(self.device, self.dtype) for mask in masks])[:, None, None])


class _Added(TorchFunctionMode):  # type: ignore[misc]
    """Adds numbers (B, 1, 1, T) to the scores of attention that has a mask, in place of the mask."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.numbers = numbers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch."""
        given = dict(kwargs or {})
        if func is functional.scaled_dot_product_attention and given.get("attn_mask") is not None:
            given["attn_mask"] = self.numbers
        return func(*args, **given)
