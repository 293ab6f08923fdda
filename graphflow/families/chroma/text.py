"""Chroma's prompts: T5 alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from graphflow.families.flow.t5 import T5Encoder
from graphflow.families.flow.text import FlowText
from graphflow.values import Conditioning, ConditioningEntry


@dataclass(frozen=True, kw_only=True, eq=False)
class ChromaText(FlowText):
    """What `TextEncoder.use()` gives.

    Attributes:
        t5: The T5 encoder.
    """

    t5: T5Encoder

    def languages(self) -> dict[str, nn.Module]:
        """Its language model."""
        return {"text_encoder": self.t5.module}

    def encode(self, text: str, texts: Mapping[str, str] | None = None) -> Conditioning:
        """Encode a prompt.

        Args:
            text: The prompt, of any length, with weights in brackets.
            texts: Another prompt for the encoder, as `{"text_encoder": "…"}`.

        Returns:
            One entry: embedding (1, T, C), float32 on the CPU, as long as the prompt.

        Raises:
            NonFiniteError: The encoder overflows in its dtype.
        """
        embedding = self.t5.encode((texts or {}).get("text_encoder", text))
        return Conditioning(entries=(ConditioningEntry(embedding=embedding),))
