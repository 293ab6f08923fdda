"""Headers of weight files: names, shapes and dtypes of the tensors, read without reading the weights.

Everything read here may come from a stranger, so sizes are bounded before anything is allocated and every field is
checked; whatever is wrong raises :class:`~graphflow.errors.ModelFormatError` and nothing else. Format reference:
https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from graphflow.basics.regular import open_regular
from graphflow.errors import ModelFormatError

MAX_HEADER_BYTES = 40_000_000
"""Largest header that is read; those of large models have less than one million."""

MAX_JSON_NODES = 600_000
"""Most `{`, `[` and `,` in a header, so that parsing a hostile one cannot fill the memory."""

MAX_INDEX_BYTES = 12_000_000
MAX_DIMENSIONS = 16

DTYPE_BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
"""Bits per value of each safetensors dtype."""

_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive (PyTorch's pickle format)", "convert it: graphflow models convert {name}"),
    (b"\x80\x02", "a Python pickle", "convert it: graphflow models convert {name}"),
    (b"\x80\x03", "a Python pickle", "convert it: graphflow models convert {name}"),
    (b"\x80\x04", "a Python pickle", "convert it: graphflow models convert {name}"),
    (b"\x80\x05", "a Python pickle", "convert it: graphflow models convert {name}"),
    (b"version https://git-lfs", "a Git LFS pointer, not the weights", "run 'git lfs pull' in its folder"),
    (b"GGUF", "a GGUF file", "rename it to end in .gguf"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"\x89HDF", "an HDF5 file", "download the .safetensors version"),
    (b"\x89PNG", "a PNG picture", "download the file again"),
)
_AGAIN = "download the file again"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file.

    Attributes:
        dtype: Name as in the file: `F16`, `BF16`, `Q4_K`, …
        shape: Sizes, outermost first (as torch writes them).
        start: First byte, counted from the start of the file.
        size: Bytes in the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a weight file says about itself.

    Attributes:
        path: The file.
        format: `safetensors` or `gguf`.
        size: Bytes of the whole file.
        tensors: By name, in the file's order.
        metadata: Free key-value pairs (`__metadata__`, or the GGUF fields as text).
        digest: SHA-256 of the header's bytes.
        data_start: First byte after the header.
    """

    path: Path
    format: Literal["safetensors", "gguf"]
    size: int
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    digest: str
    data_start: int


def bytes_by_dtype(tensors: Iterable[TensorInfo]) -> dict[str, int]:
    """Bytes of weights by dtype, largest first."""
    total: Counter[str] = Counter()
    for tensor in tensors:
        total[tensor.dtype] += tensor.size
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def read_safetensors_header(path: Path) -> Header:
    """Read and check the header of a safetensors file; the weights stay untouched.

    Raises:
        ModelFormatError: As :func:`read_header`.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            first = file.read(min(64, size))
            length = _header_length(path, first, size)
            raw = first[8 : 8 + length] + file.read(max(0, length - (len(first) - 8)))
    except OSError as error:
        raise ModelFormatError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if len(raw) < length:
        raise ModelFormatError("the file ends inside its header", where=str(path), advice=_AGAIN)
    entries = _parse(path, raw)
    metadata = _metadata(path, entries.pop("__metadata__", {}))
    start = 8 + length
    tensors = {name: _tensor(path, name, entry, start) for name, entry in entries.items()}
    _check_layout(path, tensors, start, size)
    return Header(path, "safetensors", size, tensors, metadata, hashlib.sha256(raw).hexdigest(), start)


def read_index(path: Path) -> dict[str, str]:
    """Read a `….safetensors.index.json` and return its map from tensor name to file name.

    Raises:
        ModelFormatError: The file is not such an index, or it names files outside its own folder.
    """
    weight_map = read_json(path, MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelFormatError("has no 'weight_map'", where=str(path), advice=_AGAIN)
    for tensor, file in weight_map.items():
        if not isinstance(file, str) or not file.endswith(".safetensors") or file != Path(file).name or "\\" in file:
            raise ModelFormatError(f"tensor {tensor!r} stands in {file!r}, not in a file beside it", where=str(path))
    return weight_map


def read_json(path: Path, limit: int = 10_000_000) -> dict[str, Any]:
    """Read a JSON object from a file of at most `limit` bytes.

    Raises:
        ModelFormatError: The file cannot be read, is too large or holds no JSON object.
    """
    try:
        with open_regular(path) as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise ModelFormatError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if len(raw) > limit:
        raise ModelFormatError(f"is larger than {limit} bytes", where=str(path))
    return parse_json_object(raw, str(path))


def parse_json_object(raw: bytes | str, where: str) -> dict[str, Any]:
    """Parse a JSON object of bounded complexity.

    Raises:
        ModelFormatError: It is not one.
    """
    data = raw.encode() if isinstance(raw, str) else raw
    if sum(data.count(char) for char in (b"{", b"[", b",")) > MAX_JSON_NODES:
        raise ModelFormatError("the JSON has too many values", where=where)
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"is not valid JSON: {_short(error)}", where=where) from error
    if not isinstance(value, dict):
        raise ModelFormatError("is not a JSON object", where=where)
    return value


def read_floats(header: Header, name: str, *, most: int = 64) -> tuple[float, ...]:
    """Read the values of one small F32, F16, BF16 or F64 tensor (at most so many values): the marker tensors of some files.

    Raises:
        ModelFormatError: The tensor is larger, of another dtype, or cannot be read.
    """
    tensor = header.tensors[name]
    codes = {"F32": "f", "F16": "e", "F64": "d", "BF16": "f"}
    count = math.prod(tensor.shape)
    if tensor.dtype not in codes or count > most:
        raise ModelFormatError(f"tensor {name!r} should hold a few floats", where=str(header.path))
    try:
        with open_regular(header.path) as file:
            file.seek(tensor.start)
            raw = file.read(tensor.size)
        if tensor.dtype == "BF16":  # the upper half of a float32
            raw = b"".join(b"\0\0" + raw[place : place + 2] for place in range(0, len(raw), 2))
        return struct.unpack(f"<{count}{codes[tensor.dtype]}", raw)
    except (OSError, struct.error) as error:
        raise ModelFormatError(f"tensor {name!r} cannot be read: {error}", where=str(header.path)) from error


def foreign_content(first: bytes) -> tuple[str, str] | None:
    """Name what a file holds that should be safetensors: (what, advice), or None where nothing known is seen.

    Args:
        first: The first 24 bytes of the file, or more.
    """
    for magic, what, advice in _FOREIGN:
        if first.startswith(magic):
            return what, advice
    text = first.lstrip()[:9].lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page, perhaps a login or error page saved in place of the file", _AGAIN
    return None


def _header_length(path: Path, first: bytes, size: int) -> int:
    if size == 0:
        raise ModelFormatError("the file is empty", where=str(path), advice=_AGAIN)
    found = foreign_content(first)
    # A header's length may look like the beginning of a pickle.
    if found and not (first[8:9] == b"{" and int.from_bytes(first[:8], "little") + 8 <= size):
        what, advice = found
        problem = f"has the name of a safetensors file but holds {what}"
        raise ModelFormatError(problem, where=str(path), advice=advice.format(name=path.name))
    if size < 8:
        raise ModelFormatError("is too short for a safetensors file", where=str(path), advice=_AGAIN)
    length = int(struct.unpack("<Q", first[:8])[0])
    if length > MAX_HEADER_BYTES:
        raise ModelFormatError(
            f"claims a header of {length} bytes, more than the {MAX_HEADER_BYTES} allowed: not a safetensors file",
            where=str(path),
            advice=_AGAIN,
        )
    if length + 8 > size:
        raise ModelFormatError("the file ends inside its header", where=str(path), advice=_AGAIN)
    return length


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    if not raw.startswith(b"{"):
        raise ModelFormatError("the header is no JSON object: not a safetensors file", where=str(path), advice=_AGAIN)
    return parse_json_object(raw, f"{path} (header)")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands twice")
    return result


def _metadata(path: Path, value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ModelFormatError("'__metadata__' must map names to texts", where=str(path))
    return value


def _tensor(path: Path, name: str, entry: object, data_start: int) -> TensorInfo:
    place = f"{path}: tensor {name[:200]!r}"
    if not isinstance(entry, dict):
        raise ModelFormatError("is not described by an object", where=place)
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise ModelFormatError(f"has the unknown dtype {str(dtype)[:40]!r}", where=place)
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_size(value) for value in shape):
        raise ModelFormatError("has a malformed shape", where=place)
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(value) for value in offsets):
        raise ModelFormatError("has malformed data_offsets", where=place)
    start, end = offsets
    if (end - start) * 8 != math.prod(shape) * DTYPE_BITS[dtype]:
        raise ModelFormatError(f"has {end - start} bytes, which does not fit {dtype} {shape}", where=place)
    return TensorInfo(dtype, tuple(shape), data_start + start, end - start)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _check_layout(path: Path, tensors: Mapping[str, TensorInfo], data_start: int, size: int) -> None:
    """The format wants the data area filled by the tensors, side by side, to its last byte."""
    expected = data_start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size)):
        if tensor.start != expected:
            problem = "overlaps the one before it" if tensor.start < expected else "leaves a hole before it"
            raise ModelFormatError(f"tensor {name[:200]!r} {problem}", where=str(path), advice=_AGAIN)
        expected = tensor.start + tensor.size
    if expected > size:
        raise ModelFormatError(f"the file is incomplete: {size} bytes of {expected}", where=str(path), advice=_AGAIN)
    if expected < size:
        raise ModelFormatError(f"has {size - expected} bytes after the last tensor", where=str(path), advice=_AGAIN)


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
