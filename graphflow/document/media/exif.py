"""EXIF texts of WebP and JPEG files. ComfyUI writes ``prompt:{…}`` and ``workflow:{…}`` into text tags."""

from __future__ import annotations

import re
from typing import BinaryIO

from .bounded import Reader
from .riff import chunks

_TAG_NAMES = {0x010E: "imagedescription", 0x9286: "usercomment"}
_EXIF_IFD = 0x8769
_TEXT_TYPES = {1: 1, 2: 1, 7: 1}
_KEYED = re.compile(r"\s*(prompt|workflow)\s*:\s*(?=\{)", re.IGNORECASE)
_ENTRIES = 4_096


def webp_texts(stream: BinaryIO) -> dict[str, str]:
    """Return the texts in the EXIF chunk of a WebP file.

    Raises:
        EOFError: The file ends inside the chunk.
        ValueError: The metadata is damaged or too large.
    """
    reader = Reader(stream)
    reader.seek(12)
    for name, length in chunks(reader):
        if name == b"EXIF":
            return tiff_texts(reader.read(length).removeprefix(b"Exif\x00\x00"))
    return {}


def jpeg_texts(stream: BinaryIO) -> dict[str, str]:
    """Return the texts in the EXIF and comment segments of a JPEG file.

    Raises:
        EOFError: The file ends inside a segment.
        ValueError: The metadata is damaged or too large.
    """
    reader = Reader(stream)
    reader.seek(2)
    found: dict[str, str] = {}
    while reader.tell() + 4 <= reader.size:
        reader.part()
        head = reader.read(4)
        if head[0] != 0xFF or head[1] in (0xD9, 0xDA):
            break
        length = max(int.from_bytes(head[2:], "big") - 2, 0)
        after = reader.tell() + length
        if head[1] == 0xE1:
            data = reader.read(length)
            if data.startswith(b"Exif\x00\x00"):
                found |= tiff_texts(data[6:])
        elif head[1] == 0xFE:
            found.setdefault("comment", reader.read(length).decode("utf-8", "replace"))
        reader.seek(after)
    return found


def tiff_texts(data: bytes) -> dict[str, str]:
    """Return the text tags of a TIFF structure: by the key that stands before a colon, else by tag name."""
    order = {b"II": "little", b"MM": "big"}.get(data[:2])
    if order is None or len(data) < 8:
        return {}
    found: dict[str, str] = {}
    pending = [_number(data, 4, 4, order)]
    seen: set[int] = set()
    entries = _ENTRIES
    while pending:
        offset = pending.pop()
        if offset in seen or offset + 2 > len(data):
            continue
        seen.add(offset)
        for position in range(offset + 2, offset + 2 + 12 * _number(data, offset, 2, order), 12):
            entries -= 1
            if entries < 0 or position + 12 > len(data):
                break
            tag, kind, count = _number(data, position, 2, order), _number(data, position + 2, 2, order), 0
            count = _number(data, position + 4, 4, order)
            if tag == _EXIF_IFD:
                pending.append(_number(data, position + 8, 4, order))
            elif kind in _TEXT_TYPES:
                at = position + 8 if count <= 4 else _number(data, position + 8, 4, order)
                _add(found, tag, _text(data[at : at + count]))
    return found


def _add(found: dict[str, str], tag: int, text: str) -> None:
    match = _KEYED.match(text)
    if match:
        found.setdefault(match[1].lower(), text[match.end() :])
    elif tag in _TAG_NAMES and text:
        found.setdefault(_TAG_NAMES[tag], text)


def _text(data: bytes) -> str:
    """Decode a text tag; user comments start with eight bytes that name their encoding."""
    if data.startswith(b"UNICODE\x00"):
        body = data[8:]  # writers disagree about the byte order, but Latin text shows it
        return body.decode("utf-16-be" if body[:1] == b"\x00" else "utf-16-le", "replace").strip("\x00")
    if data.startswith((b"ASCII\x00\x00\x00", b"\x00" * 8)):
        data = data[8:]
    return data.decode("utf-8", "replace").strip("\x00")


def _number(data: bytes, at: int, size: int, order: str) -> int:
    return int.from_bytes(data[at : at + size], "little" if order == "little" else "big")
