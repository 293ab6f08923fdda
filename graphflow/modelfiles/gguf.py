"""Headers of GGUF files (versions 2 and 3).

Format reference: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Only the fields are read, with bounds on
every count; tensor shapes are returned outermost first, as torch writes them (the file stores them reversed).
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from graphflow.basics.regular import open_regular
from graphflow.errors import ModelFormatError
from graphflow.modelfiles.header import Header, TensorInfo, foreign_content

MAX_FIELDS = 65_536
MAX_TENSORS = 65_536
MAX_STRING = 16_000_000
MAX_FIELD_BYTES = 100_000_000
"""Most bytes of fields and tensor descriptions together."""

MAX_ITEMS = 1_500_000
"""Most texts and lists in all lists together; vocabularies with their merges have up to 900,000."""

BLOCKS: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
}  # fmt: skip
"""Tensor type number to (name, values per block, bytes per block)."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


def read_gguf_header(path: Path) -> Header:
    """Read the fields and tensor descriptions of a GGUF file.

    Raises:
        ModelFormatError: The file is not GGUF, of another version, damaged, incomplete or cannot be read.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            return _Reader(path, file, size).read()
    except OSError as error:
        raise ModelFormatError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


class _Reader:
    """Reads one file from front to back, counting what it has taken."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path = path
        self.file = file
        self.size = size
        self.taken = 0
        self.items = 0
        self.hash = hashlib.sha256()

    def read(self) -> Header:
        first = self.take(4)
        if first != b"GGUF":
            found = foreign_content(first + self.file.read(28))
            what = found[0] if found else "something else"
            raise ModelFormatError(f"has the name of a GGUF file but holds {what}", where=str(self.path))
        version = self.number("I")
        if version not in (2, 3):
            raise ModelFormatError(f"is GGUF version {version}; versions 2 and 3 are read", where=str(self.path))
        tensor_count, field_count = self.number("Q"), self.number("Q")
        if tensor_count > MAX_TENSORS or field_count > MAX_FIELDS:
            raise ModelFormatError(f"claims {tensor_count} tensors and {field_count} fields", where=str(self.path))
        fields: dict[str, object] = {}
        for _ in range(field_count):
            name = self.text()
            fields[name] = self.value(self.number("I"))
        shapes = _original_shapes(fields)
        described = [self.tensor(shapes) for _ in range(tensor_count)]
        alignment = fields.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment % 8 or alignment > 2**20:
            raise ModelFormatError(f"has the alignment {alignment!r}", where=str(self.path))
        data_start = -(-self.taken // alignment) * alignment
        tensors: dict[str, TensorInfo] = {}
        for name, tensor in described:
            if name in tensors:
                raise ModelFormatError(f"tensor {name[:200]!r} stands twice", where=str(self.path))
            tensors[name] = TensorInfo(tensor.dtype, tensor.shape, data_start + tensor.start, tensor.size)
        self.check(tensors)
        metadata = {name: str(value) for name, value in fields.items() if not isinstance(value, list)}
        return Header(self.path, "gguf", self.size, tensors, metadata, self.hash.hexdigest(), data_start)

    def check(self, tensors: Mapping[str, TensorInfo]) -> None:
        end = 0
        for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size)):
            if tensor.start < end:
                raise ModelFormatError(f"tensor {name[:200]!r} overlaps the one before it", where=str(self.path))
            end = tensor.start + tensor.size
        if end > self.size:
            raise ModelFormatError(
                f"the file is incomplete: {self.size} bytes of {end}", where=str(self.path), advice="download it again"
            )

    def take(self, count: int) -> bytes:
        if count > self.size - self.taken or self.taken + count > MAX_FIELD_BYTES:
            raise ModelFormatError("the file ends inside its header", where=str(self.path), advice="download it again")
        data = self.file.read(count)
        if len(data) != count:
            raise ModelFormatError("the file ends inside its header", where=str(self.path), advice="download it again")
        self.taken += count
        self.hash.update(data)
        return data

    def number(self, code: str) -> int:
        return int(struct.unpack("<" + code, self.take(struct.calcsize(code)))[0])

    def text(self) -> str:
        length = self.number("Q")
        if length > MAX_STRING:
            raise ModelFormatError(f"has a text of {length} bytes", where=str(self.path))
        return self.take(length).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> object:
        if kind in _SCALARS:
            code = _SCALARS[kind]
            (scalar,) = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))
            return scalar
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY and depth < 4:
            item, count = self.number("I"), self.number("Q")
            if item in _SCALARS:
                width = struct.calcsize("<" + _SCALARS[item])
                data = self.take(count * width)
                # Long arrays are vocabularies, which nothing here reads.
                return list(struct.unpack(f"<{count}{_SCALARS[item]}", data)) if count <= 64 else []
            self.items += count
            if self.items > MAX_ITEMS:
                raise ModelFormatError(f"has an array of {count} items", where=str(self.path))
            kept: list[object] = []
            for index in range(count):
                element = self.value(item, depth + 1)
                if index < 64:
                    kept.append(element)
            return kept
        raise ModelFormatError(f"has a field of the unknown type {kind}", where=str(self.path))

    def tensor(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, TensorInfo]:
        name = self.text()
        dimensions = self.number("I")
        if dimensions > 8:
            raise ModelFormatError(f"tensor {name[:200]!r} has {dimensions} dimensions", where=str(self.path))
        shape = tuple(self.number("Q") for _ in range(dimensions))[::-1]
        kind, start = self.number("I"), self.number("Q")
        if kind not in BLOCKS:
            raise ModelFormatError(f"tensor {name[:200]!r} has the unknown type {kind}", where=str(self.path))
        dtype, values, width = BLOCKS[kind]
        count = math.prod(shape)
        if count >= 2**62 or start >= 2**62 or count % values:
            raise ModelFormatError(f"tensor {name[:200]!r} has a malformed shape {shape}", where=str(self.path))
        original = shapes.get(name, shape)
        if math.prod(original) != count:
            raise ModelFormatError(f"tensor {name[:200]!r} has two shapes: {shape}, {original}", where=str(self.path))
        return name, TensorInfo(dtype, original, start, count // values * width)


def _original_shapes(fields: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
    """Shapes before a converter flattened tensors, kept by image-model converters as `….orig_shape.NAME`."""
    found: dict[str, tuple[int, ...]] = {}
    for field, value in fields.items():
        before, mark, name = field.partition(".orig_shape.")
        if mark and before and isinstance(value, list) and all(isinstance(size, int) and size >= 0 for size in value):
            found[name] = tuple(int(str(size)) for size in value)
    return found
