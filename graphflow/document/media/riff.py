"""Chunks of RIFF files: WebP (https://developers.google.com/speed/webp/docs/riff_container) and WAV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from .bounded import Reader

COMMENT = b"ICMT"
"""The comment in a WAV file's list of kind INFO."""


def chunks(reader: Reader, end: int | None = None) -> Iterator[tuple[bytes, int]]:
    """Yield name and length of each chunk from the reader's place on, which is then where its body starts."""
    last = reader.size if end is None else min(end, reader.size)
    while reader.tell() + 8 <= last:
        reader.part()
        head = reader.read(8)
        length = int.from_bytes(head[4:], "little")
        after = reader.tell() + length + length % 2
        yield head[:4], length
        reader.seek(after)


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk."""
    return name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def wav_texts(stream: BinaryIO) -> dict[str, str]:
    """Return the comment of a WAV file.

    Raises:
        EOFError: The file ends inside it.
        ValueError: The metadata is damaged or too large.
    """
    reader = Reader(stream)
    reader.seek(12)
    for name, length in chunks(reader):
        if name != b"LIST" or reader.read(4) != b"INFO":
            continue
        for inner, size in chunks(reader, reader.tell() + length - 4):
            if inner == COMMENT:
                return {"comment": reader.read(size).decode("utf-8", "replace").strip("\0")}
    return {}


def with_wav_texts(data: bytes, comment: str, xmp: bytes) -> bytes:
    """Return a WAV file with a comment and an XMP packet; empty ones are left out."""
    text = comment.encode()
    more = chunk(b"LIST", b"INFO" + chunk(COMMENT, text + b"\0")) if text else b""
    more += chunk(b"_PMX", xmp) if xmp else b""
    return data[:4] + (len(data) + len(more) - 8).to_bytes(4, "little") + data[8:] + more
