"""PNG files taken apart and put together with sums that are right, so that what a chunk says is read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes]
"""A name and what is in it."""


def chunks_of(picture: bytes) -> list[Chunk]:
    """Return the chunks of a whole PNG."""
    found, at = [], len(SIGNATURE)
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        found.append((picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]))
        at += length + 12
    return found


def png(chunks: Sequence[Chunk]) -> bytes:
    """Return a PNG of chunks."""
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def text(keyword: str, value: bytes, *, packed: bool = False) -> Chunk:
    """Return a chunk of text."""
    if packed:
        return b"zTXt", keyword.encode() + b"\0\0" + zlib.compress(value, 9)
    return b"tEXt", keyword.encode() + b"\0" + value
