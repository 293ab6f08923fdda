"""The bytes of the store's files: safetensors with digests; no torch in here.

An entry is ``length, header, small tensors``. Its header starts with the digest of all the rest of the header,
at a fixed place, so that damage is found before anything is parsed::

    {"__metadata__":{"digest":"…","inline":"1024","key":"…","objects":"NAME:SIZE …","value":"{…}"}, "x":{"dtype":…}}

``key`` is the key that the entry belongs to (the first version wrote none). ``value`` holds kind, data, the digest of the small tensors and, for each tensor, ``[name, dtype, shape, place]``, where
``place`` is an object's name or the tensor's offsets in the entry. An object is a safetensors file with one tensor,
called ``tensor``. ``value`` may also hold ``made``: how the value came about, which no key tells.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = [
    "DIGEST_BYTES",
    "MIN_OBJECT_BYTES",
    "OBJECT_NAME",
    "DamagedError",
    "Entry",
    "Head",
    "MisplacedError",
    "Part",
    "Slot",
    "digest_of",
    "header_length",
    "object_header",
    "pack_entry",
    "parse",
    "parse_head",
]

MIN_OBJECT_BYTES = 16 * 1024
MAX_HEADER_BYTES = 64 * 2**20
DIGEST_BYTES = 32
OBJECT_NAME = re.compile(r"[0-9a-f]{64}\.(?:safetensors|bin)")
_START = b'{"__metadata__":{"digest":"'
_DIGEST = slice(8 + len(_START), 8 + len(_START) + 2 * DIGEST_BYTES)
_NOT_AN_ENTRY = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
_SAFETENSORS_NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}


class DamagedError(Exception):
    """A file is not what was written."""


class MisplacedError(DamagedError):
    """An entry stands under another key than its own."""


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor as bytes: torch's name of its dtype, its shape, and its elements in C order."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a tensor is: in the object of that name, or (start, stop) in the entry's inline bytes."""

    dtype: str
    shape: tuple[int, ...]
    place: str | tuple[int, int]


@dataclass(frozen=True, slots=True)
class Head:
    """The checked header of an entry: its objects with their sizes, and the rest still as JSON text."""

    objects: tuple[tuple[str, int], ...]
    value: str
    data_start: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A checked entry; ``inline`` is the bytes of the small tensors."""

    kind: str
    data: JsonValue
    slots: Mapping[str, Slot]
    objects: tuple[tuple[str, int], ...]
    inline: memoryview
    made: JsonValue = None


def digest_of(*chunks: bytes | memoryview) -> str:
    """BLAKE2b-256 of the chunks' concatenation, in hexadecimal."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def object_header(dtype: str, shape: tuple[int, ...], nbytes: int) -> bytes:
    """The first bytes of an object file, which its tensor's bytes follow."""
    return _framed(_dumps({"tensor": _description(dtype, shape, 0, nbytes)}))


def pack_entry(
    kind: str,
    data: JsonValue,
    inline: Mapping[str, Part],
    stored: Mapping[str, Slot],
    objects: Mapping[str, int],
    *,
    key: str,
    made: JsonValue = None,
) -> list[bytes | memoryview]:
    """The chunks of an entry file.

    Args:
        kind: The value's type name.
        data: The value's JSON.
        inline: Small tensors, written into the entry.
        stored: The other tensors, which are in objects.
        objects: Every object that the entry needs, with the size of its file.
        key: The key that it belongs to.
        made: How the value came about, as JSON; None is not written.

    Raises:
        ValueError: if ``data`` is not JSON, or a tensor is called ``__metadata__``.
    """
    if "__metadata__" in inline or "__metadata__" in stored:
        raise ValueError("a tensor cannot be called '__metadata__': safetensors reserves that name")
    # Large elements first keeps every tensor aligned for programs that map the file.
    order = sorted(inline, key=lambda name: (-_alignment(inline[name]), name))
    table: dict[str, list[object]] = {name: [slot.dtype, slot.shape, slot.place] for name, slot in stored.items()}
    tensors: dict[str, object] = {}
    offset = 0
    for name in order:
        part = inline[name]
        end = offset + part.data.nbytes
        table[name] = [part.dtype, part.shape, [offset, end]]
        tensors[name] = _description(part.dtype, part.shape, offset, end)
        offset = end
    names = [*inline, *stored]  # the caller's order does not survive sorting
    inline_digest = digest_of(*(inline[name].data for name in order))
    value: dict[str, object] = {
        "kind": kind,
        "data": data,
        "tensors": [[name, *table[name]] for name in names],
        "inline": inline_digest,
    }
    if made is not None:
        value["made"] = made
    metadata = {
        "inline": str(offset),
        "key": key,
        "objects": " ".join(f"{name}:{size}" for name, size in objects.items()),
        "value": _dumps(value).decode(),
    }
    rest = b'",' + _dumps(metadata)[1:] + (b"," + _dumps(tensors)[1:] if tensors else b"}")
    framed = bytearray(_framed(_START + b"0" * (2 * DIGEST_BYTES) + rest))
    framed[_DIGEST] = _head_digest(framed)
    return [bytes(framed), *(inline[name].data for name in order)]


def header_length(start: bytes) -> int:
    """How many bytes of a file its length and header take, from its first eight bytes.

    Raises:
        DamagedError: if no header is as long.
    """
    length = int.from_bytes(start[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise DamagedError("the header is longer than any")
    return 8 + length


def parse_head(raw: bytes, file_size: int, key: str) -> Head:
    """Check the header of an entry, given at least its first `header_length` bytes, against the file's size and its key.

    Raises:
        DamagedError: if it is cut off or altered.
        MisplacedError: if it is another key's.
    """
    data_start = header_length(raw)
    if len(raw) < _DIGEST.stop or not _DIGEST.stop < data_start <= min(len(raw), file_size):
        raise DamagedError("the header is cut off")
    header = raw[:data_start]
    if header[_DIGEST] != _head_digest(header):
        raise DamagedError("the header does not match its digest")
    try:
        metadata = json.loads(header[8:])["__metadata__"]
        inline = int(metadata["inline"])
        pairs = [item.split(":") for item in metadata["objects"].split()]
        objects = tuple((name, int(size)) for name, size in pairs)
        value = str(metadata["value"])
        own = metadata.get("key", key)
    except _NOT_AN_ENTRY as problem:
        raise DamagedError("the header is not that of an entry") from problem
    if file_size != data_start + inline:
        raise DamagedError("the file has the wrong size")
    if own != key:
        raise MisplacedError("it is a copy of another entry")
    # The folder may be shared: a name must not lead out of it.
    if not all(OBJECT_NAME.fullmatch(name) for name, _ in objects):
        raise DamagedError("the header names a file that is not an object")
    return Head(objects, value, data_start)


def parse(raw: bytes, key: str) -> Entry:
    """Check and read a whole entry file; raises as `parse_head` does."""
    head = parse_head(raw, len(raw), key)
    inline = memoryview(raw)[head.data_start :]
    try:
        value = json.loads(head.value)
        slots = {
            str(name): Slot(
                str(dtype),
                tuple(int(edge) for edge in shape),
                place if isinstance(place, str) else (int(place[0]), int(place[1])),
            )
            for name, dtype, shape, place in value["tensors"]
        }
        entry = Entry(str(value["kind"]), value["data"], slots, head.objects, inline, value.get("made"))
        expected = value["inline"]
    except _NOT_AN_ENTRY as problem:
        raise DamagedError("the value is not that of an entry") from problem
    known = {name for name, _ in entry.objects}
    if not all(isinstance(slot.place, tuple) or slot.place in known for slot in slots.values()):
        raise DamagedError("a tensor is in an object that the header does not name")
    if digest_of(inline) != expected:
        raise DamagedError("the tensors do not match their digest")
    return entry


def _head_digest(framed: bytes | bytearray) -> bytes:
    view = memoryview(framed)
    return digest_of(view[: _DIGEST.start], view[_DIGEST.stop :]).encode()


def _alignment(part: Part) -> int:
    count = 1
    for edge in part.shape:
        count *= edge
    return part.data.nbytes // count if count else 1


def _description(dtype: str, shape: tuple[int, ...], start: int, stop: int) -> dict[str, object]:
    # A dtype that safetensors has no name for is written as bytes; the entry knows what it was.
    name = _SAFETENSORS_NAMES.get(dtype)
    if name is None:
        return {"dtype": "U8", "shape": [stop - start], "data_offsets": [start, stop]}
    return {"dtype": name, "shape": shape, "data_offsets": [start, stop]}


def _framed(header: bytes) -> bytes:
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


def _dumps(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
