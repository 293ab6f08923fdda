"""Qwen-Image's prompts: what Qwen2.5-VL makes of them, asked to describe a picture."""

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
from graphflow.families.flow.saving import original_tensors
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.text import TextModel
from graphflow.families.qwen_image.config import TEXT_PREFIXES
from graphflow.families.qwen_image.names import LanguageNames
from graphflow.families.qwen_image.prompts import read_by_qwen
from graphflow.modelfiles.description import Part
from graphflow.values import Conditioning, ConditioningEntry


@dataclass(frozen=True, kw_only=True, eq=False)
class QwenImageText(TextModel):
    """What `TextEncoder.use()` gives.

    Attributes:
        module: A `Qwen25VL`.
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
            One entry: embedding (1, T, C) of the last layer, normed, from the prompt's first token to the template's
            end; float32 on the CPU.

        Raises:
            NonFiniteError: The encoder overflows in its dtype.
        """
        return self.encode_with_pictures((texts or {}).get("text_encoder", text), (), numbered=False)

    @inference
    def encode_with_pictures(self, text: str, pictures: Sequence[Tensor], *, numbered: bool) -> Conditioning:
        """Encode an instruction and the pictures that it speaks of.

        Args:
            text: The instruction.
            pictures: (1, 3, H, W) each, in [0, 1].
            numbered: Whether they are called Picture 1, Picture 2, …, as models for several pictures were trained.

        Returns:
            As :meth:`encode`, with the pictures before the text.

        Raises:
            ModelFormatError: The encoder's file cannot see.
            NonFiniteError: The encoder overflows in its dtype.
        """
        if pictures and self.module.visual is None:
            raise ModelFormatError(
                "this Qwen2.5-VL has only the tensors that read text",
                advice="load a file that has `visual.` tensors, too",
            )
        embedding = read_by_qwen(self.tokenizer.ids, self.module, unescaped(text), pictures, numbered).cpu()
        require_finite(embedding, "the prompt's embedding", "set dtype to float32 or bfloat16")
        return Conditioning(entries=(ConditioningEntry(embedding=embedding),))

    def file_tensors(self, *, whole: bool) -> Iterator[tuple[str, Tensors, Config]]:
        """Yield its name, tensors and config, alone or as they stand in a whole checkpoint."""
        names = LanguageNames(Part("text_encoder", type(self.module).__name__, {"vision_config": {}}, files=()))
        yield "text_encoder", original_tensors(self.module, names, TEXT_PREFIXES[0] if whole else ""), {}
