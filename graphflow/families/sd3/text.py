"""Stable Diffusion 3's prompts: CLIP-L and CLIP-G side by side, then T5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from graphflow.families.flow.t5 import T5Encoder
from graphflow.families.flow.text import FlowText
from graphflow.values import Conditioning, ConditioningEntry

CLIPS, T5 = ("text_encoder", "text_encoder_2"), "text_encoder_3"
WIDTHS = {"text_encoder": 768, "text_encoder_2": 1280, "text_encoder_3": 4096}
"""Widths of the encoders' outputs, for those that are missing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sd3Text(FlowText):
    """What `TextEncoder.use()` gives; any of the encoders may be missing.

    Attributes:
        t5: The T5 encoder; None where it is missing.
    """

    t5: T5Encoder | None

    def languages(self) -> dict[str, nn.Module]:
        """Its language model."""
        return {} if self.t5 is None else {"text_encoder_3": self.t5.module}

    def encode(self, text: str, texts: Mapping[str, str] | None = None) -> Conditioning:
        """Encode a prompt.

        Args:
            text: The prompt: weights in brackets, `embedding:name` for the CLIPs, any length.
            texts: Another prompt for some of the encoders, by part name.

        Returns:
            One entry, float32 on the CPU: embedding (1, T, C) with 77 tokens for each 75 of the CLIPs', their channels
            side by side and zeros beside them, then T5's, 77 or more; pooled (1, D) of the CLIPs. Zeros stand for an
            encoder that is missing, or nothing where its tokens would be alone.

        Raises:
            NonFiniteError: An encoder overflows in its dtype.
        """
        given = dict(texts or {})
        states = self.states(text, given)
        length = next((hidden.shape[1] for hidden, _ in states.values()), 0)
        found = [
            states.get(name, (torch.zeros(1, length, WIDTHS[name]), torch.zeros(1, WIDTHS[name]))) for name in CLIPS
        ]
        joined = torch.cat([hidden for hidden, _ in found], dim=-1)
        t5 = None if self.t5 is None else self.t5.encode(given.get(T5, text))
        width = WIDTHS[T5] if t5 is None else t5.shape[-1]
        tokens = [functional.pad(joined, (0, width - joined.shape[-1])), *([] if t5 is None else [t5])]
        entry = ConditioningEntry(
            embedding=torch.cat(tokens, dim=1), pooled=torch.cat([pooled for _, pooled in found], dim=-1)
        )
        return Conditioning(entries=(entry,))
