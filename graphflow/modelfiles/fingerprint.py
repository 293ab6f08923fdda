"""Identity of model files: a quick fingerprint for keys, and the full SHA-256 remembered between runs."""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from graphflow.basics.regular import open_regular
from graphflow.errors import ModelFormatError
from graphflow.modelfiles.formats import read_header
from graphflow.modelfiles.header import Header

BLOCKS = 64
BLOCK_BYTES = 64 * 1024
_CHUNK = 4 * 2**20
_HUB_BLOB = re.compile(r"/models--[^/]+/blobs/([0-9a-f]{64})\Z")
"""A large file in the Hub's cache: it is named by its SHA-256, which was checked when it was fetched."""
HEADER_SUFFIXES = frozenset({".safetensors", ".sft", ".gguf"})


def file_fingerprint(path: Path, header: Header | None = None) -> str:
    """Fingerprint one file from its header, its size and 64 blocks of 64 KiB at fixed places, in milliseconds.

    A file of up to 4 MiB is read whole. Files that differ only between the blocks share a fingerprint; the full
    SHA-256 (:class:`DigestIndex`) tells them apart.

    Args:
        path: The file.
        header: Its header, where it has been read already.

    Returns:
        64 hexadecimal digits.

    Raises:
        ModelFormatError: The file cannot be read or is not what its name says.
    """
    if header is None and path.suffix.lower() in HEADER_SUFFIXES:
        header = read_header(path)
    digest = hashlib.sha256(b"graphflow file 1\n")
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            digest.update(f"{size}\n{header.digest if header else ''}\n".encode())
            for start in _block_starts(size):
                file.seek(start)
                digest.update(file.read(BLOCK_BYTES))
    except OSError as error:
        raise ModelFormatError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    return digest.hexdigest()


def folder_fingerprint(files: Iterable[tuple[str, str]]) -> str:
    """Fingerprint a folder from (relative path with `/`, fingerprint) of the files that are loaded from it."""
    digest = hashlib.sha256(b"graphflow folder 1\n")
    for name, fingerprint in sorted(files):
        digest.update(f"{name}\0{fingerprint}\n".encode())
    return digest.hexdigest()


def hub_fingerprint(repository: str, commit: str) -> str:
    """Identity of a model from the Hub: its repository at a commit."""
    return f"hub:{repository}@{commit}"


class DigestIndex:
    """Full SHA-256 of files, remembered by (path, size, mtime, inode) in a small SQLite file.

    Several processes may share the file. A damaged one is replaced: it holds nothing that cannot be computed again.

    Args:
        folder: Folder for `digests.sqlite`; made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "digests.sqlite"

    def known(self, path: Path) -> str | None:
        """The SHA-256 of `path` if it has been computed for this very state of the file."""
        if not self._file.is_file():
            return None
        key = _state(path)
        with contextlib.suppress(sqlite3.Error), self._open() as database:
            row = database.execute(
                "SELECT sha256 FROM digest WHERE path=? AND size=? AND mtime_ns=? AND inode=?", key
            ).fetchone()
            return str(row[0]) if row else None
        return None

    def sha256(self, path: Path, progress: Callable[[int, int], None] | None = None) -> str:
        """The SHA-256 of the whole file, computed (about 0.4 GB/s) unless it is known.

        Args:
            path: The file.
            progress: Called with (bytes read, bytes in all).

        Raises:
            ModelFormatError: The file cannot be read, or changes while it is read.
        """
        if found := self.known(path):
            return found
        before = _state(path)
        if blob := _HUB_BLOB.search(Path(before[0]).as_posix()):
            return blob[1]
        digest, done = hashlib.sha256(), 0
        try:
            with open_regular(path) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    done += len(chunk)
                    if progress:
                        progress(done, before[1])
        except OSError as error:
            raise ModelFormatError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
        if _state(path) != before:
            raise ModelFormatError("changed while it was read", where=str(path), advice="try again once it is complete")
        self._remember(before, digest.hexdigest())
        return digest.hexdigest()

    def _remember(self, key: tuple[str, int, int, int], value: str) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as database:
                database.execute("INSERT OR REPLACE INTO digest VALUES (?, ?, ?, ?, ?)", (*key, value))
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                return  # Locked or read-only: the digest is right, it is only not remembered.
            self._file.unlink(missing_ok=True)
        except OSError:
            return

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._file, timeout=10)
        try:
            with database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS digest (path TEXT PRIMARY KEY, size INT, mtime_ns INT, inode INT,"
                    " sha256 TEXT)"
                )
                yield database
        finally:
            database.close()


def _block_starts(size: int) -> list[int]:
    if size <= BLOCKS * BLOCK_BYTES:
        return list(range(0, size, BLOCK_BYTES))
    last = size - BLOCK_BYTES
    return [index * last // (BLOCKS - 1) for index in range(BLOCKS)]


def _state(path: Path) -> tuple[str, int, int, int]:
    try:
        path = path.resolve(strict=True)
        state = path.stat()
    except OSError as error:
        raise ModelFormatError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    return str(path), state.st_size, state.st_mtime_ns, state.st_ino
