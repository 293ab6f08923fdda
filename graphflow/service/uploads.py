"""Files that clients send: kept by the SHA-256 of their bytes, under a name that documents may use."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from starlette.concurrency import run_in_threadpool

from graphflow.basics.pictures import read_picture
from graphflow.errors import InvalidInputError, LimitError, MediaError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAGIC: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (suffix, re.compile(pattern, re.DOTALL))
    for suffix, pattern in (
        (".png", rb"\x89PNG\r\n\x1a\n"),
        (".jpg", rb"\xff\xd8\xff"),
        (".webp", rb"RIFF....WEBP"),
        (".gif", rb"GIF8[79]a"),
        (".bmp", rb"BM"),
        (".tiff", rb"II\*\0|MM\0\*"),
        (".mp4", rb"....ftyp"),
        (".webm", rb"\x1a\x45\xdf\xa3"),
        (".wav", rb"RIFF....WAVE"),
        (".flac", rb"fLaC"),
        (".ogg", rb"OggS"),
        (".mp3", rb"ID3|\xff[\xfb\xf3\xf2]"),
        (".latent", rb"......\0\0\{"),
    )
)
"""By ending: what a file of that kind begins with. ``.latent`` is safetensors, which can hold no code."""
_PICTURES = frozenset({".png", ".jpg", ".webp", ".gif", ".bmp", ".tiff"})
_HEAD = 64
_PIECE = 2**20


async def pieces(stream: IO[bytes]) -> AsyncIterator[bytes]:
    """Yield what stands in a file, for :meth:`Uploads.take`."""
    while piece := await run_in_threadpool(stream.read, _PIECE):
        yield piece


@dataclass(frozen=True)
class Upload:
    """A file that a client sent.

    Attributes:
        digest: SHA-256 of its bytes.
        name: What documents call it.
        size: Its bytes.
    """

    digest: str
    name: str
    size: int


class Uploads:
    """The files that clients sent.

    Args:
        folder: Where they are kept; made if it is missing.
        most: The most bytes of all of them.
        pixels: The most pixels of a picture.
    """

    def __init__(self, folder: Path, *, most: int, pixels: int) -> None:
        self.folder = folder
        self._most = most
        self._pixels = pixels
        folder.mkdir(parents=True, exist_ok=True)
        for half in folder.glob(".*.part"):
            half.unlink(missing_ok=True)

    def find(self, digest: str) -> Upload | None:
        """Return the file of a digest; None where there is none, or where it is no digest."""
        if not _DIGEST.fullmatch(digest):
            return None
        for path in self.folder.glob(f"{digest}.*"):
            os.utime(path)  # it is in use
            return Upload(digest, path.name, path.stat().st_size)
        return None

    async def take(self, parts: AsyncIterator[bytes], digest: str | None = None) -> Upload:
        """Keep a file.

        Args:
            parts: Its bytes.
            digest: What their SHA-256 must be; None is whatever it is.

        Raises:
            InvalidInputError: The digest is another one.
            MediaError: It is no file of a kind that workflows read.
            LimitError: It is larger than allowed.
        """
        part = self.folder / f".{secrets.token_hex(8)}.part"
        whole, size, head = hashlib.sha256(), 0, b""
        room = self._most - sum(path.stat().st_size for path in self.folder.iterdir())
        try:
            with part.open("xb") as stream:
                async for piece in parts:
                    whole.update(piece)
                    size += len(piece)
                    if size > room:
                        raise LimitError(
                            "there is no room for more uploads", advice="uploads that nobody used go first"
                        )
                    head += piece[: _HEAD - len(head)]
                    stream.write(piece)
            found = whole.hexdigest()
            if digest is not None and digest != found:
                raise InvalidInputError(f"the bytes have the digest {found}", where=digest, advice="send them again")
            suffix = self._suffix(part, head)
            path = self.folder / f"{found}{suffix}"
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return Upload(found, path.name, size)

    def _suffix(self, path: Path, head: bytes) -> str:
        """Return the ending that a file has by what stands in it, whatever the client calls it."""
        suffix = next((suffix for suffix, pattern in _MAGIC if pattern.match(head)), None)
        if suffix is None:
            raise MediaError(
                "this is no picture, video, sound or latent", advice="send PNG, JPEG, WebP, MP4, WAV or FLAC"
            )
        if suffix in _PICTURES:
            with path.open("rb") as stream:
                size = read_picture("image", stream, "the upload", lambda it: it.size, lambda _: None, decode=False)
            if size[0] * size[1] > self._pixels:
                raise LimitError(f"the picture has more than {self._pixels:,} pixels", advice="make it smaller")
        return suffix

    def prune(self, seconds: float) -> None:
        """Remove files that nobody asked for in the last ``seconds``."""
        for path in self.folder.iterdir():
            if path.stat().st_mtime < time.time() - seconds:
                path.unlink(missing_ok=True)
