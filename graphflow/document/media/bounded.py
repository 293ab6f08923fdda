"""Reading a stranger's binary file in bounded pieces."""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

TEXT_BYTES = 32 * 2**20
"""Bytes of all metadata read from one file, packed or unpacked."""
PARTS = 100_000
"""Chunks, boxes or elements looked at in one file."""


class Reader:
    """A seekable stream that counts what is taken from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        self._bytes = TEXT_BYTES
        self._parts = PARTS

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def seek(self, position: int) -> None:
        """Go to a position, at most to the end."""
        self._stream.seek(min(position, self.size))

    def read(self, count: int) -> bytes:
        """Return exactly that many bytes.

        Raises:
            EOFError: The file is shorter.
            ValueError: More metadata than the limit.
        """
        self.charge(count)
        data = self._stream.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def charge(self, count: int) -> None:
        """Count bytes of metadata.

        Raises:
            ValueError: More than the limit.
        """
        self._bytes -= count
        if self._bytes < 0:
            raise ValueError(f"more than {TEXT_BYTES:,} bytes of metadata")

    def part(self) -> None:
        """Count a chunk, box or element.

        Raises:
            ValueError: More than the limit.
        """
        self._parts -= 1
        if self._parts < 0:
            raise ValueError(f"more than {PARTS:,} parts")

    def inflate(self, data: bytes) -> bytes:
        """Unpack zlib data within the limit.

        Raises:
            ValueError: The data is damaged or too large.
        """
        unpacker = zlib.decompressobj()
        try:
            result = unpacker.decompress(data, max(self._bytes, 1))
        except zlib.error as error:
            raise ValueError("damaged compressed text") from error
        if unpacker.unconsumed_tail:
            raise ValueError(f"more than {TEXT_BYTES:,} bytes of metadata")
        self.charge(len(result))
        return result
