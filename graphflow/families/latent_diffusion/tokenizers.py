"""Tokenizers of text encoders, made without network from what a description says."""

from __future__ import annotations

import gzip
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.tokenizer_config import byte_letters

if TYPE_CHECKING:
    from graphflow.modelfiles.description import TokenizerSpec

_VOCABULARY_FILE = "open_clip/bpe_simple_vocab_16e6.txt.gz"
_MERGES = 49152 - 256 - 2
"""CLIP uses this many of the file's merges."""


@dataclass(frozen=True, slots=True)
class PromptTokenizer:
    """Byte-pair encoding of CLIP's kind, with the special tokens that frame a chunk.

    Attributes:
        backend: The `tokenizers.Tokenizer`.
        start: Id of the start token.
        end: Id of the end token.
        pad: Id that fills a chunk after its end token.
        length: Tokens of a chunk, start and end included.
    """

    backend: Any
    start: int
    end: int
    pad: int
    length: int

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, without start and end."""
        found: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return found


def make_tokenizer(spec: TokenizerSpec, length: int) -> PromptTokenizer:
    """The tokenizer of a text encoder.

    Args:
        spec: Where its vocabulary is.
        length: Positions of the text encoder.

    Raises:
        ModelFormatError: The vocabulary is missing or lacks a special token.
    """
    from transformers import CLIPTokenizer

    vocab, merges = _vocabulary(spec)
    names = {kind: _text(spec.config.get(kind)) for kind in ("bos_token", "eos_token", "unk_token", "pad_token")}
    start = names["bos_token"] or "<|startoftext|>"
    end = names["eos_token"] or "<|endoftext|>"
    pad = names["pad_token"] or end
    for token in (start, end, pad):
        if token not in vocab:
            raise ModelFormatError(
                f"the tokenizer of {spec.part} has no token {token!r}", where=str(spec.path or spec.part)
            )
    tokenizer = CLIPTokenizer(
        vocab=dict(vocab), merges=list(merges), bos_token=start, eos_token=end, unk_token=names["unk_token"] or end
    )
    wanted = spec.config.get("model_max_length")
    if isinstance(wanted, int) and 2 < wanted < length:
        length = wanted
    return PromptTokenizer(tokenizer.backend_tokenizer, vocab[start], vocab[end], vocab[pad], length)


def _vocabulary(spec: TokenizerSpec) -> tuple[Mapping[str, int], tuple[tuple[str, str], ...]]:
    match spec.source:
        case "builtin":
            return clip_vocabulary()
        case "inline":
            return spec.vocab or {}, tuple(_pair(merge) for merge in spec.merges or ())
        case "folder":
            assert spec.path is not None
            return _folder_vocabulary(spec.path)
        case _:
            raise ModelFormatError(f"the tokenizer of {spec.part} is not at hand", where=spec.part)


@cache
def clip_vocabulary() -> tuple[Mapping[str, int], tuple[tuple[str, str], ...]]:
    """CLIP's 49,408 tokens and its merges (Radford et al. 2021), from the file that open_clip_torch brings.

    Raises:
        ModelFormatError: The package open_clip_torch is not complete.
    """
    path = Path(str(importlib.metadata.distribution("open_clip_torch").locate_file(_VOCABULARY_FILE)))
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    except OSError as error:
        raise ModelFormatError(
            f"CLIP's vocabulary cannot be read: {error}", where=str(path), advice="install open-clip-torch again"
        ) from error
    merges = tuple(_pair(line) for line in lines[1 : _MERGES + 1])
    letters = byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}, merges


def _folder_vocabulary(folder: Path) -> tuple[Mapping[str, int], tuple[tuple[str, str], ...]]:
    try:
        if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
            lines = (folder / "merges.txt").read_text("utf-8").split("\n")
            return vocab, tuple(_pair(line) for line in lines if line.strip() and not line.startswith("#version"))
        data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        model = data["model"]
        vocab = dict(model["vocab"]) | {item["content"]: item["id"] for item in data.get("added_tokens", ())}
        return vocab, tuple(_pair(" ".join(merge) if isinstance(merge, list) else merge) for merge in model["merges"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(
            f"its tokenizer cannot be read: {error}",
            where=str(folder),
            advice="a folder with vocab.json and merges.txt, or tokenizer.json, is needed",
        ) from error


def _pair(line: str) -> tuple[str, str]:
    first, _, second = line.strip().partition(" ")
    return first, second


def _text(value: object) -> str:
    """A special token's text: tokenizer files give it plainly or as an object."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else ""
