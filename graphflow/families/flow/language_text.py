"""Prompts that one language model reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from graphflow import runtime
from graphflow.basics.finite import require_finite
from graphflow.basics.inference import inference
from graphflow.basics.prompt_syntax import plain_pieces, plainly
from graphflow.families.flow.language_states import language_states
from graphflow.families.flow.piece_tokenizer import PieceTokenizer
from graphflow.families.flow.text import FlowText
from graphflow.values import Conditioning, ConditioningEntry


@dataclass(frozen=True, kw_only=True, eq=False)
class LanguageText(FlowText):
    """What `TextEncoder.use()` gives where a language model reads the prompt.

    Attributes:
        module: A transformers language model, without its head.
        tokenizer: Its tokenizer.
        template: What it is asked; `{}` is the prompt.
        begin: Ids of tokens before it.
        layers: Whose outputs, side by side, are the embedding; -1 is the last, without the final norm.
        least: Tokens at least; shorter texts are filled up behind, with tokens that see the text alone.
        filler: The token that fills them up.
    """

    module: Any
    tokenizer: PieceTokenizer
    template: str
    begin: tuple[int, ...]
    layers: tuple[int, ...]
    least: int = 0
    filler: str = ""

    def languages(self) -> dict[str, nn.Module]:
        """Its language model."""
        return {"text_encoder": self.module}

    @inference
    def encode(self, text: str, texts: Mapping[str, str] | None = None) -> Conditioning:
        """Encode a prompt.

        Args:
            text: The prompt, of any length. Brackets are read as they stand; an embedding is left out, with a notice.
            texts: Another prompt for the encoder, as `{"text_encoder": "…"}`.

        Returns:
            One entry: embedding (1, T, C), float32 on the CPU.

        Raises:
            NonFiniteError: The encoder overflows in its dtype.
        """
        told = (texts or {}).get("text_encoder", text)
        for piece in plain_pieces(told):
            if piece.is_embedding:
                runtime.current().notice(f"language models read no embeddings: {piece.text!r} is left out")
        asked = self.template.replace("{}", plainly(told))
        ids = [*self.begin, *self.tokenizer.ids(asked)]
        (filler,) = self.tokenizer.ids(self.filler) if self.filler else (0,)
        states = language_states(self.module, ids, self.layers, self.least, filler).float().cpu()
        require_finite(states, "the prompt's embedding", "set dtype to float32 or bfloat16")
        return Conditioning(entries=(ConditioningEntry(embedding=states),))
