"""Which kind of file it is, and the texts that it carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO

from . import exif, gif, isobmff, matroska, png, riff, safetensors

READERS: Mapping[str, Callable[[BinaryIO], dict[str, str]]] = {
    "png": png.texts,
    "webp": exif.webp_texts,
    "jpeg": exif.jpeg_texts,
    "gif": gif.texts,
    "wav": riff.wav_texts,
    "mp4": isobmff.texts,
    "webm": matroska.texts,
    "safetensors": safetensors.texts,
}
"""By what :func:`container_of` says. Each returns texts by key.

Raises:
    EOFError: The file ends inside its metadata.
    ValueError: The metadata is damaged or too large.
"""

ENDINGS = frozenset({".json", ".txt", ".png", ".webp", ".jpg", ".jpeg", ".gif", ".wav", ".mp4", ".webm"})
"""Of file names of workflows and of what may carry one, or settings in words."""


def container_of(stream: BinaryIO) -> str:
    """Return a key of :data:`READERS` or, for anything else, ``json``; rewinds the stream."""
    head = stream.read(16)
    stream.seek(0)
    if head.startswith(png.SIGNATURE):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE"):
        return "webp" if head[8:12] == b"WEBP" else "wav"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head[4:8] in (b"ftyp", b"moov", b"wide", b"mdat"):
        return "mp4"
    if head.startswith(matroska.SIGNATURE):
        return "webm"
    return "safetensors" if safetensors.is_header(head) else "json"
