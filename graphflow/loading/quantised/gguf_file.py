"""GGUF files, version 3; https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from graphflow.modelfiles.gguf import BLOCKS

_ALIGNMENT = 32
_NUMBER, _TEXT, _LIST, _SIGNED = 4, 8, 9, 5
_TYPES = {name: number for number, (name, _, _) in BLOCKS.items()}


@dataclass(frozen=True)
class GgufTensor:
    """One tensor to write.

    Attributes:
        type: Its type's name.
        shape: Outermost first, as it is stored.
        data: Its bytes, uint8.
    """

    type: str
    shape: tuple[int, ...]
    data: Tensor


def gguf_pieces(tensors: Mapping[str, GgufTensor], fields: Mapping[str, str | int | Sequence[int]]) -> Iterator[bytes]:
    """A GGUF file: its header and then tensor after tensor.

    Args:
        tensors: By name.
        fields: By name: texts, whole numbers, or lists of whole numbers.
    """
    described, start = b"", 0
    for name, tensor in tensors.items():
        sizes = b"".join(struct.pack("<Q", size) for size in reversed(tensor.shape))
        kind = struct.pack("<IQ", _TYPES[tensor.type], start)
        described += _text(name) + struct.pack("<I", len(tensor.shape)) + sizes + kind
        start += -(-tensor.data.numel() // _ALIGNMENT) * _ALIGNMENT
    said = b"".join(_text(name) + _value(value) for name, value in fields.items())
    yield _padded(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields)) + said + described)
    for tensor in tensors.values():
        yield _padded(tensor.data.contiguous().numpy().tobytes())


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: str | int | Sequence[int]) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _TEXT) + _text(value)
    if isinstance(value, int):
        return struct.pack("<II", _NUMBER, value)
    return struct.pack(f"<IIQ{len(value)}i", _LIST, _SIGNED, len(value), *value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
