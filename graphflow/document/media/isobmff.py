"""Metadata of MP4 and MOV files: ``moov/udta/meta`` and ``moov/meta`` with ``keys`` and ``ilst``, and user data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from .bounded import Reader

_CONTAINERS = frozenset({b"moov", b"udta", b"meta", b"ilst"})
_WELL_KNOWN = {b"\xa9cmt": "comment", b"desc": "description", b"\xa9des": "description"}
_DEPTH = 8


def texts(stream: BinaryIO) -> dict[str, str]:
    """Return the text metadata of an MP4 or MOV file by key.

    Raises:
        EOFError: The file ends inside the metadata.
        ValueError: The metadata is damaged or too large.
    """
    reader = Reader(stream)
    found: dict[str, str] = {}
    keys: list[str] = []
    pending: list[tuple[int, int, bytes, int]] = [(0, reader.size, b"", 0)]
    while pending:
        start, end, parent, depth = pending.pop()
        inner: list[tuple[int, int, bytes, int]] = []
        for kind, body, after in _boxes(reader, start, end):
            if parent == b"ilst":
                key = _key(kind, keys)
                if key:
                    _take(reader, found, key, body, after)
            elif kind == b"keys" and parent == b"meta":
                keys = _keys(reader, body, after)
            elif kind in _CONTAINERS and depth < _DEPTH:
                inner.append((_meta_body(reader, body, after) if kind == b"meta" else body, after, kind, depth + 1))
            elif parent == b"udta" and kind in _WELL_KNOWN:
                reader.seek(body)
                data = reader.read(after - body)
                found.setdefault(_WELL_KNOWN[kind], data[4:].decode("utf-8", "replace"))
        pending.extend(reversed(inner))
    return found


def _boxes(reader: Reader, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start of the body and end of each box."""
    at = start
    while at + 8 <= end:
        reader.part()
        reader.seek(at)
        head = reader.read(8)
        size, body = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, body = int.from_bytes(reader.read(8), "big"), at + 16
        after = end if size == 0 else at + size
        if after < body or after > end:
            return
        yield head[4:], body, after
        at = after


def _meta_body(reader: Reader, body: int, after: int) -> int:
    """Return where the boxes of a meta box start: MP4 puts four bytes of version before them, QuickTime none."""
    if after - body < 8:
        return body
    reader.seek(body)
    return body if reader.read(8)[4:] in (b"hdlr", b"keys", b"ilst") else body + 4


def _keys(reader: Reader, body: int, after: int) -> list[str]:
    reader.seek(body)
    data = reader.read(after - body)
    names: list[str] = []
    at = 8
    while at + 8 <= len(data):
        reader.part()
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:
            break
        names.append(data[at + 8 : at + size].decode("utf-8", "replace"))
        at += size
    return names


def _key(kind: bytes, keys: list[str]) -> str | None:
    if kind in _WELL_KNOWN:
        return _WELL_KNOWN[kind]
    number = int.from_bytes(kind, "big")
    return keys[number - 1] if 0 < number <= len(keys) else None


def _take(reader: Reader, found: dict[str, str], key: str, start: int, end: int) -> None:
    for kind, body, after in _boxes(reader, start, end):
        if kind == b"data" and after - body >= 8:
            reader.seek(body)
            found.setdefault(key, reader.read(after - body)[8:].decode("utf-8", "replace"))
