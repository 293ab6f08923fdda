"""Style models: what an image encoder sees in a picture, as tokens that stand beside those of the text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
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


def behind_text(embeds: Tensor, tokens: Tensor) -> Tensor:
    """A text's states (B, T, C) and behind them the tokens (P, n, C) of pictures, side by side: (B, T + P * n, C)."""
    shown = tokens.flatten(0, 1).expand(len(embeds), -1, -1)
    return torch.cat([embeds, shown], dim=1)


def attended(
    spans: Sequence[tuple[int, int, float]], first: int, last: int, attention: float
) -> tuple[tuple[int, int, float], ...]:
    """How much more attention spans of tokens get, (first, behind the last, logarithm) of each, with one more.

    Args:
        spans: Those of before.
        first: First token of the new one.
        last: Behind its last.
        attention: Factor on the attention to it, above 0.
    """
    # As ComfyUI has it, whose sum is in half precision.
    bias = float(np.float16(math.log(attention)))
    return (*spans, (first, last, bias)) if bias or spans else ()
