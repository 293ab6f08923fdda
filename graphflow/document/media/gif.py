"""Comments and XMP of GIF files (https://www.w3.org/Graphics/GIF/spec-gif89a.txt; XMP specification, part 3)."""

from __future__ import annotations

from typing import BinaryIO

from .bounded import Reader

_TRAILER = b"\x3b"
_XMP = b"\x21\xff\x0bXMP DataXMP"
_MAGIC = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
"""What follows XMP, so that programs which know nothing of it find the end."""


def texts(stream: BinaryIO) -> dict[str, str]:
    """Return the first comment of a GIF file.

    Raises:
        EOFError: The file ends too early.
        ValueError: The metadata is damaged or too large.
    """
    reader = Reader(stream)
    reader.seek(_start(reader.read(13)))
    while reader.tell() < reader.size and (kind := reader.read(1)) != _TRAILER:
        reader.part()
        if kind == b"\x21" and reader.read(1) == b"\xfe":
            return {"comment": b"".join(_blocks(reader, keep=True)).decode("utf-8", "replace")}
        if kind == b"\x2c":
            flags = reader.read(9)[8]
            reader.seek(reader.tell() + (3 << ((flags & 7) + 1) if flags & 0x80 else 0) + 1)
        _blocks(reader, keep=False)
    return {}


def with_texts(data: bytes, comment: str, xmp: bytes) -> bytes:
    """Return a GIF file with a comment and an XMP packet before its first frame; empty ones are left out."""
    text = comment.encode()
    more = b""
    if text:
        blocks = (text[at : at + 255] for at in range(0, len(text), 255))
        more = b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    if xmp:
        more += _XMP + xmp + _MAGIC
    start = _start(data)
    return b"GIF89a" + data[6:start] + more + data[start:]


def _start(head: bytes) -> int:
    """Return where the blocks start: after the header and the colours of the whole file."""
    return 13 + (3 << ((head[10] & 7) + 1) if head[10] & 0x80 else 0)


def _blocks(reader: Reader, *, keep: bool) -> list[bytes]:
    found = []
    while length := reader.read(1)[0]:
        reader.part()
        if keep:
            found.append(reader.read(length))
        else:
            reader.seek(reader.tell() + length)
    return found
