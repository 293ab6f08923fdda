"""Tags of WebM and Matroska files: ``Segment/Tags/Tag/SimpleTag`` with ``TagName`` and ``TagString`` (RFC 9559)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from .bounded import Reader

SIGNATURE = b"\x1a\x45\xdf\xa3"

_SEGMENT, _TAGS, _TAG, _SIMPLE, _NAME, _STRING = 0x18538067, 0x1254C367, 0x7373, 0x67C8, 0x45A3, 0x4487
_CLUSTER = 0x1F43B675
_INSIDE = frozenset({_SEGMENT, _TAGS, _TAG})
_DEPTH = 8


def texts(stream: BinaryIO) -> dict[str, str]:
    """Return the tags of a WebM or Matroska file by name; the first of a name counts.

    Raises:
        EOFError: The file ends inside a tag.
        ValueError: The metadata is damaged or too large.
    """
    reader = Reader(stream)
    found: dict[str, str] = {}
    pending: list[tuple[int, int, int]] = [(0, reader.size, 0)]
    while pending:
        start, end, depth = pending.pop()
        inner: list[tuple[int, int, int]] = []
        for kind, body, after in _elements(reader, start, end):
            if kind in _INSIDE and depth < _DEPTH:
                inner.append((body, after, depth + 1))
            elif kind == _SIMPLE:
                _take(reader, found, body, after)
        pending.extend(reversed(inner))
    return found


def _elements(reader: Reader, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield id, start of the body and end of each element; one of unknown size reaches to the end."""
    at = start
    while at + 2 <= end:
        reader.part()
        reader.seek(at)
        kind, _ = _variable(reader, keep_marker=True, longest=4)
        size, unknown = _variable(reader, keep_marker=False, longest=8)
        body = reader.tell()
        if unknown and kind == _CLUSTER:
            return  # a live recording: pictures follow to the end, tags do not
        after = end if unknown else body + size
        if after > end:
            return
        yield kind, body, after
        at = after


def _variable(reader: Reader, *, keep_marker: bool, longest: int) -> tuple[int, bool]:
    """Read a number whose first byte tells its length; also say whether all its bits are ones."""
    first = reader.read(1)[0]
    length = 9 - first.bit_length()
    if length > longest:
        raise ValueError("damaged element")
    value = first if keep_marker else first & (0xFF >> length)
    for byte in reader.read(length - 1):
        value = value << 8 | byte
    return value, value == (1 << 7 * length) - 1


def _take(reader: Reader, found: dict[str, str], start: int, end: int) -> None:
    name = text = None
    for kind, body, after in _elements(reader, start, end):
        if kind in (_NAME, _STRING):
            reader.seek(body)
            value = reader.read(after - body).decode("utf-8", "replace").strip("\x00")
            name, text = (value, text) if kind == _NAME else (name, value)
    if name and text is not None:
        found.setdefault(name, text)
