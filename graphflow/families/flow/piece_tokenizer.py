"""Tokenizers of language models: words to pieces, by the files that their authors publish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphflow.errors import ModelFormatError, ModelNotFoundError
from graphflow.library.tokenizers import FOLDER, tokenizer_file
from graphflow.modelfiles.description import TokenizerSpec
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.header import MAX_INDEX_BYTES

INSIDE = "spiece_model"
"""The tensor in which weight files bring a SentencePiece model along."""


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
    if spec.source == "weights" and spec.path is not None:
        return _sentencepiece(_tensor_bytes(spec.path), str(spec.path))
    file = tokenizer_file(spec.path) if spec.source == "folder" and spec.path is not None else None
    if file is None:
        raise _missing(spec)
    if file.suffix == ".json":
        return _fast(file)
    return _sentencepiece(file.read_bytes(), str(file))


def _missing(spec: TokenizerSpec) -> ModelNotFoundError:
    place, hub = str(spec.path), ""
    if spec.published:
        repository, _, folder = spec.published[0].partition(":")
        place = f"{FOLDER}/{spec.name} of a model folder"
        hub = (
            f"; the Hub has it: hf download {repository} {f'{folder}/*' if folder else 'spiece.model tokenizer*.json'}"
        )
    return ModelNotFoundError(
        f"the tokenizer of the {spec.part} is not at hand",
        where=spec.name or place,
        advice=f"put its tokenizer.json or spiece.model into {place}{hub}",
    )


def _fast(file: Path) -> PieceTokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise ModelFormatError(f"is no tokenizer: {error}", where=str(file)) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return found

    return PieceTokenizer(ids)


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


def _tensor_bytes(path: Path) -> bytes:
    """The bytes of the tensor with the model.

    Raises:
        ModelFormatError: It is larger than any vocabulary.
    """
    tensor = next(found for key, found in read_header(path).tensors.items() if key.rpartition(".")[2] == INSIDE)
    if tensor.size > MAX_INDEX_BYTES:
        raise ModelFormatError(f"its {INSIDE} is larger than any vocabulary", where=str(path))
    with path.open("rb") as file:
        file.seek(tensor.start)
        return file.read(tensor.size)
