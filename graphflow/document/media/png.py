"""Text chunks of PNG files: tEXt, zTXt, iTXt, and the comf chunks that ComfyUI writes to animated ones."""

from __future__ import annotations

from typing import BinaryIO

from .bounded import Reader

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def texts(stream: BinaryIO) -> dict[str, str]:
    """Return the texts of a PNG file by key; the first of a key counts.

    Raises:
        EOFError: The file ends inside a text chunk.
        ValueError: The metadata is damaged or too large.
    """
    reader = Reader(stream)
    reader.seek(len(SIGNATURE))
    found: dict[str, str] = {}
    while reader.tell() + 8 <= reader.size:
        reader.part()
        head = reader.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        after = reader.tell() + length + 4
        if kind == b"IEND":
            break
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"comf"):
            key, _, rest = reader.read(length).partition(b"\x00")
            found.setdefault(key.decode("latin-1"), _text(kind, rest, reader))
        reader.seek(after)
    return found


def _text(kind: bytes, rest: bytes, reader: Reader) -> str:
    if kind == b"zTXt":
        return _decode(reader.inflate(rest[1:]))
    if kind != b"iTXt":
        return _decode(rest)
    compressed = rest[:1] == b"\x01"
    _language, _, rest = rest[2:].partition(b"\x00")
    _keyword, _, rest = rest.partition(b"\x00")
    return (reader.inflate(rest) if compressed else rest).decode("utf-8", "replace")


def _decode(data: bytes) -> str:
    """Decode as UTF-8 where that is possible: the format says Latin-1, but tools write UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
