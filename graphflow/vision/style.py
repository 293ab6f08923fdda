"""Style models: what an image encoder sees in a picture, as tokens that stand beside those of the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureTokens:
    """What `StyleModel.use()` gives.

    Attributes:
        module: A Diffusers `ReduxImageEncoder`.
        device: Where it computes.
        dtype: Dtype it computes in.
    """

    module: Any
    device: torch.device
    dtype: torch.dtype

    @property
    def reads(self) -> int:
        """Width of the vectors that it reads."""
        width: int = self.module.config.redux_dim
        return width

    @property
    def makes(self) -> int:
        """Width of its tokens."""
        width: int = self.module.config.txt_in_features
        return width

    @inference
    def tokens(self, features: Tensor) -> Tensor:
        """From an image encoder's vectors (B, P, D) to tokens (B, P, C), float32 on the CPU."""
        found: Tensor = self.module(features.to(self.device, self.dtype)).image_embeds
        return found.float().cpu()
