"""Qwen-Image's prompts: what Qwen2.5-VL makes of them, asked to describe a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from graphflow.basics.finite import require_finite
from graphflow.basics.inference import inference
from graphflow.basics.prompt_syntax import unescaped
from graphflow.errors import ModelFormatError
from graphflow.families.flow.piece_tokenizer import PieceTokenizer
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.text import TextModel
from graphflow.values import Conditioning, ConditioningEntry

TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial"
    " relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
"""What a prompt is put into (Diffusers' QwenImagePipeline has it, too)."""
START = "<|im_start|>"


@dataclass(frozen=True, kw_only=True, eq=False)
class QwenImageText(TextModel):
    """What `TextEncoder.use()` gives.

    Attributes:
        module: A transformers `Qwen2Model`.
        tokenizer: Its tokenizer.
        device: Where it computes.
    """

    module: nn.Module
    tokenizer: PieceTokenizer
    device: torch.device

    @inference
    def encode(self, text: str, texts: Mapping[str, str] | None = None) -> Conditioning:
        """Encode a prompt.

        Args:
            text: The prompt, of any length; brackets are read as they stand, without weights, those behind a
                backslash without it.
            texts: Another prompt for the encoder, by its part name.

        Returns:
            One entry: embedding (1, T, C) of the last layer, normed, from the prompt's first token to the template's
            end; float32 on the CPU.

        Raises:
            NonFiniteError: The encoder overflows in its dtype.
        """
        ids = self.tokenizer.ids(TEMPLATE.format(unescaped((texts or {}).get("text_encoder", text))))
        (start,) = self.tokenizer.ids(START)
        first = ids.index(start, ids.index(start) + 1) + len(self.tokenizer.ids(f"{START}user\n"))
        states = self.module(input_ids=torch.tensor([ids], device=self.device)).last_hidden_state
        embedding = states[:, first:].float().cpu()
        require_finite(embedding, "the prompt's embedding", "set dtype to float32 or bfloat16")
        return Conditioning(entries=(ConditioningEntry(embedding=embedding),))

    def alone(self) -> Iterator[tuple[str, TextModel]]:
        """Itself, the only one."""
        yield "text_encoder", self

    def file_tensors(self, *, whole: bool) -> tuple[Tensors, Config]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError(
            "text encoders of Qwen-Image are not saved here", advice="keep the file that it came from"
        )
