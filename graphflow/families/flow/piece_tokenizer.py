"""Tokenizers of language models: words to pieces, by the files that their authors publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphflow.errors import ModelFormatError, ModelNotFoundError
from graphflow.families.flow.tekken import TEKKEN, make_tekken
from graphflow.library.tokenizers import FILES, FOLDER, tokenizer_file
from graphflow.modelfiles.description import TokenizerSpec
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.header import MAX_INDEX_BYTES

INSIDE = ("spiece_model", TEKKEN)
"""Tensors in which weight files bring along a SentencePiece model, or a Tekken vocabulary."""


@dataclass(frozen=True, slots=True)
class PieceTokenizer:
    """A tokenizer.

    Attributes:
        ids: From a text to the ids of its pieces, without special tokens.
    """

    ids: Callable[[str], list[int]]


def make_piece_tokenizer(spec: TokenizerSpec) -> PieceTokenizer:
    """The tokenizer that a description names.

    Raises:
        ModelNotFoundError: It is not at hand.
        ModelFormatError: Its file is damaged.
    """
    if spec.source == "inline" and spec.vocab is not None:
        return _bytewise(spec.vocab, spec.merges or ())
    if spec.source == "weights" and spec.path is not None:
        tensor, data = _tensor_bytes(spec.path)
        return _tekken(data, str(spec.path)) if tensor == TEKKEN else _sentencepiece(data, str(spec.path))
    file = tokenizer_file(spec.path) if spec.source == "folder" and spec.path is not None else None
    if file is None and spec.source == "folder":
        raise ModelFormatError(
            "holds no tokenizer", where=str(spec.path), advice=f"download one of {', '.join(FILES)} into it"
        )
    if file is None:
        repository, _, folder = spec.published[0].partition(":")
        files = f'"{folder}/*"' if folder else '"tokenizer*" spiece.model tekken.json vocab.json merges.txt'
        raise ModelNotFoundError(
            f"the tokenizer of the {spec.part} ({spec.name}) is not at hand",
            where=spec.name,
            advice=f"put its tokenizer.json, spiece.model or tekken.json into {FOLDER}/{spec.name} of a model folder;"
            f" the Hub has it: hf download {repository} --include {files}",
        )
    if file.name == "vocab.json":
        return _pairs(file.parent)
    if file.name == "tekken.json":
        return _tekken(file.read_bytes(), str(file))
    if file.suffix == ".json":
        return _fast(file)
    return _sentencepiece(file.read_bytes(), str(file))


def _bytewise(vocab: Mapping[str, int], merges: tuple[str, ...]) -> PieceTokenizer:
    """A tokenizer of bytes and pairs of them; tokens in brackets stand for themselves."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    pairs = [(first, second) for first, _, second in (merge.partition(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab=dict(vocab), merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=bool(merges))
    tokenizer.add_special_tokens([token for token in vocab if len(token) > 2 and token[0] + token[-1] in ("<>", "[]")])
    return _plain(tokenizer)


def _fast(file: Path) -> PieceTokenizer:
    from tokenizers import Tokenizer

    try:
        return _plain(Tokenizer.from_file(str(file)))
    except Exception as error:  # the library raises plain Exception
        raise ModelFormatError(f"is no tokenizer: {error}", where=str(file)) from error


def _pairs(folder: Path) -> PieceTokenizer:
    """The tokenizer of a vocabulary with pairs to merge; how texts are split before belongs to the class it names."""
    from transformers import AutoTokenizer

    try:
        return _plain(AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer)
    except Exception as error:  # the library raises plain Exception
        raise ModelFormatError(f"holds no tokenizer: {error}", where=str(folder)) from error


def _plain(tokenizer: Any) -> PieceTokenizer:
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return found

    return PieceTokenizer(ids)


def _tekken(data: bytes, where: str) -> PieceTokenizer:
    return PieceTokenizer(make_tekken(data, where))


def _sentencepiece(data: bytes, where: str) -> PieceTokenizer:
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_proto=data)
    except RuntimeError as error:
        raise ModelFormatError(f"holds no SentencePiece model: {error}", where=where) from error

    def ids(text: str) -> list[int]:
        found: list[int] = processor.encode(text)
        return found

    return PieceTokenizer(ids)


def _tensor_bytes(path: Path) -> tuple[str, bytes]:
    """Name and bytes of the tensor with the vocabulary.

    Raises:
        ModelFormatError: It is larger than any vocabulary.
    """
    named = {key.rpartition(".")[2]: tensor for key, tensor in read_header(path).tensors.items()}
    name = next(name for name in INSIDE if name in named)
    tensor = named[name]
    if tensor.size > MAX_INDEX_BYTES:
        raise ModelFormatError(f"its {name} is larger than any vocabulary", where=str(path))
    with path.open("rb") as file:
        file.seek(tensor.start)
        return name, file.read(tensor.size)
