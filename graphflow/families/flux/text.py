"""FLUX.1's prompts: T5's embedding and CLIP's pooled output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from graphflow.families.flow.t5 import T5Encoder
from graphflow.families.flow.text import FlowText
from graphflow.values import Conditioning, ConditioningEntry

CLIP, T5 = "text_encoder", "text_encoder_2"


@dataclass(frozen=True, kw_only=True, eq=False)
class FluxText(FlowText):
    """What `TextEncoder.use()` gives: `encoders` holds CLIP, or nothing where it is missing.

    Attributes:
        t5: The T5 encoder; None where it is missing.
        widths: Widths of the embedding and of the pooled output, for what is missing.
    """

    t5: T5Encoder | None
    widths: tuple[int, int] = (4096, 768)

    def languages(self) -> dict[str, nn.Module]:
        """Its language model."""
        return {} if self.t5 is None else {T5: self.t5.module}

    def encode(self, text: str, texts: Mapping[str, str] | None = None) -> Conditioning:
        """Encode a prompt.

        Args:
            text: The prompt, with weights in brackets; of CLIP's part the first 75 tokens count.
            texts: Another prompt for one of the encoders, by part name.

        Returns:
            One entry: embedding (1, T, C) of T5, at least 256 tokens, and pooled (1, D) of CLIP, float32 on the CPU;
            zeros for an encoder that is missing.

        Raises:
            NonFiniteError: An encoder overflows in its dtype.
        """
        given = dict(texts or {})
        pooled = torch.zeros(1, self.widths[1])
        if self.encoders:
            (entry,) = super().encode(given.get(CLIP, text)).entries
            assert entry.pooled is not None
            pooled = entry.pooled
        embedding = torch.zeros(1, 256, self.widths[0])
        if self.t5 is not None:
            embedding = self.t5.encode(given.get(T5, text))
        return Conditioning(entries=(ConditioningEntry(embedding=embedding, pooled=pooled),))
