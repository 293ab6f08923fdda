"""Qwen-Image 2.1's prompts: what Qwen3-VL makes of a text and of the pictures that it speaks of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphflow.basics.finite import require_finite
from graphflow.basics.inference import inference
from graphflow.basics.prompt_syntax import unescaped
from graphflow.errors import ModelFormatError
from graphflow.families.flow.piece_tokenizer import PieceTokenizer
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.text import TextModel
from graphflow.families.qwen_image_21.prompts import read_by_qwen3_vl
from graphflow.values import Conditioning, ConditioningEntry

PLACES = "picture_places"
"""Where a conditioning entry's extras say at which tokens pictures stand: (first token, rows, columns) of each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QwenImage21Text(TextModel):
    """What `TextEncoder.use()` gives.

    Attributes:
        module: A transformers `Qwen3VLModel`.
        tokenizer: Its tokenizer.
    """

    module: Any
    tokenizer: PieceTokenizer

    @inference
    def encode(self, text: str, texts: Mapping[str, str] | None = None) -> Conditioning:
        """Encode a prompt.

        Args:
            text: The prompt, of any length; brackets are read as they stand, without weights, those behind a
                backslash without it.
            texts: Another prompt for the encoder, by its part name.

        Returns:
            One entry: embedding (1, T, C) of the last layer, not normed, behind what the system says; float32 on the
            CPU.

        Raises:
            NonFiniteError: The encoder overflows in its dtype.
        """
        return self._read((texts or {}).get("text_encoder", text), ())

    @inference
    def encode_with_pictures(self, text: str, pictures: Sequence[Tensor], *, numbered: bool) -> Conditioning:
        """Encode an instruction and the pictures that it speaks of.

        Args:
            text: The instruction.
            pictures: (1, 3 or 4, H, W) each, in [0, 1]; brought to multiples of a token's edge. It sees what is
                transparent on white.
            numbered: Whether there may be several; they have numbers always.

        Returns:
            As :meth:`encode`, with the pictures before the text, and in its extras where they stand.

        Raises:
            NonFiniteError: The encoder overflows in its dtype.
        """
        return self._read(text, pictures)

    def _read(self, text: str, pictures: Sequence[Tensor]) -> Conditioning:
        embedding, places = read_by_qwen3_vl(self.tokenizer.ids, self.module, unescaped(text), pictures)
        require_finite(embedding, "the prompt's embedding", "set dtype to float32 or bfloat16")
        extras = {PLACES: places} if places else {}
        return Conditioning(entries=(ConditioningEntry(embedding=embedding.cpu(), extras=extras),))

    def alone(self) -> Iterator[tuple[str, TextModel]]:
        """Itself, the only one."""
        yield "text_encoder", self

    def file_tensors(self, *, whole: bool) -> Iterator[tuple[str, Tensors, Config]]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError(
            "text encoders of Qwen-Image 2.1 are not saved here", advice="keep the file that it came from"
        )
