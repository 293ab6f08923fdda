"""Prompts to embeddings with T5."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphflow import runtime
from graphflow.basics.finite import require_finite
from graphflow.basics.inference import inference
from graphflow.basics.prompt_syntax import pieces
from graphflow.families.flow.piece_tokenizer import PieceTokenizer

END, PAD = 1, 0
"""Ids of T5's end token and of what fills a prompt up."""


@dataclass(kw_only=True, eq=False)
class T5Encoder:
    """A T5 encoder with its tokenizer.

    Attributes:
        module: A transformers `T5EncoderModel`.
        tokenizer: Its tokenizer.
        device: Where it computes.
        least: Tokens that a prompt is filled up to; a longer one is not cut.
        padding: Tokens that fill up every prompt, however long it is.
        neutral: The first token of the prompt that weights lead away from; the others fill it up.
    """

    module: nn.Module
    tokenizer: PieceTokenizer
    device: torch.device
    least: int
    padding: int = 0
    neutral: int = END

    @inference
    def encode(self, text: str) -> Tensor:
        """Encode a prompt.

        Args:
            text: The prompt, with weights in brackets; an embedding is left out, with a notice.

        Returns:
            (1, T, C), float32 on the CPU; a weight w moves a token's embedding away from that of an empty prompt:
            (z - z_empty) * w + z_empty.

        Raises:
            NonFiniteError: The encoder overflows in its dtype.
        """
        ids: list[int] = []
        weights: list[float] = []
        for piece in pieces(text, ()):
            if piece.is_embedding:
                runtime.current().notice(f"T5 reads no embeddings: {piece.text!r} is left out there")
                continue
            found = self.tokenizer.ids(piece.text)
            ids += found
            weights += [piece.weight] * len(found)
        fill = max(self.padding, self.least - len(ids) - 1)
        ids, weights = [*ids, END, *[PAD] * fill], [*weights, *[1.0] * (fill + 1)]
        states = self._run(ids)
        if any(weight != 1.0 for weight in weights):
            empty = self._run([self.neutral, *[PAD] * (len(ids) - 1)])
            states = (states - empty) * torch.tensor(weights, device=states.device)[None, :, None] + empty
        states = states.cpu()
        require_finite(states, "the prompt's embedding", "set dtype to float32 or bfloat16")
        return states

    def _run(self, ids: list[int]) -> Tensor:
        states: Tensor = self.module(input_ids=torch.tensor([ids], device=self.device)).last_hidden_state
        return states.float()
