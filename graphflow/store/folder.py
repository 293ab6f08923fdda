"""The folder of the disk tier: names, atomic writes, listing, sweeping. Knows files, not what is in them."""

# Paths are plain strings here: pathlib would double the cost of a look-up.
# ruff: noqa: PTH103, PTH105, PTH108, PTH112, PTH116, PTH118, PTH119, PTH120, PTH122, PTH123
from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from graphflow.basics.regular import NotRegularError, regular
from graphflow.errors import StoreError
from graphflow.store.layout import OBJECT_NAME, DamagedError

__all__ = ["FileInfo", "Folder", "is_key", "occupied", "open_file", "read_start", "remove", "write_atomic"]

FORMAT = "v1"
_KEY = re.compile(r"[0-9a-f]{64}")
_ENTRY = re.compile(r"[0-9a-f]{64}\.safetensors")
_SHARD = re.compile(r"[0-9a-f]{2}")
_BLOCK = 4096
_ADVICE = "choose another folder for the store, or change who may use this one"


class FileInfo(NamedTuple):
    """One file of the tier."""

    used_ns: int
    path: str
    size: int
    is_entry: bool

    @property
    def key(self) -> str:
        """The key of an entry, which is its name."""
        return os.path.splitext(os.path.basename(self.path))[0]


class Folder:
    """Paths and file operations below ``folder/v1``.

    Args:
        folder: The folder; made if it is missing.

    Raises:
        StoreError: if it is not a folder, cannot be made, or cannot be read by this user.
    """

    def __init__(self, folder: Path) -> None:
        self.root = str(folder / FORMAT)
        self.temporary = os.path.join(self.root, "tmp")
        self.locks = os.path.join(self.root, "locks")
        self.pins = os.path.join(self.root, "pins")
        self.tapes = os.path.join(self.root, "tapes")
        self._last_stamp = 0
        self._stamp_lock = threading.Lock()
        _open_folder(folder)
        for part in (self.root, self.temporary):
            try:
                os.makedirs(part, exist_ok=True)
            except FileExistsError:
                raise StoreError("is a file where the store needs a folder", where=part, advice=_ADVICE) from None
            except OSError:
                continue  # may be read only, which is fine until something is written
        if os.path.isdir(self.root):
            _check_readable(self.root)

    def entry(self, key: str) -> str:
        """Path of an entry; ValueError if the key is not 64 lowercase hexadecimal digits."""
        return f"{self.root}{os.sep}{key[:2]}{os.sep}{_checked(key)}.safetensors"

    def object(self, name: str) -> str:
        """Path of an object; its name is a digest with a suffix."""
        return f"{self.root}{os.sep}objects{os.sep}{name[:2]}{os.sep}{name}"

    def lock_file(self, key: str) -> str:
        """Path of the file that stands for a claim on a key."""
        return os.path.join(self.locks, f"{_checked(key)}.lock")

    def tape(self, key: str) -> str:
        """Path of the tape of a computation."""
        return os.path.join(self.tapes, f"{_checked(key)}.tape")

    def stamp(self) -> int:
        """The time in nanoseconds, later than any stamp given before, so that uses are ordered."""
        with self._stamp_lock:
            self._last_stamp = max(time.time_ns(), self._last_stamp + 1)
            return self._last_stamp

    def touch(self, path: str) -> None:
        """Mark a file as used now; where that is not allowed, or it has gone, nothing happens."""
        stamp = self.stamp()
        try:
            os.utime(path, ns=(stamp, stamp))
        except PermissionError:  # another user's file: only "now" may be set, and only with write permission
            with suppress(OSError):
                os.utime(path)
        except OSError:
            pass

    def write(self, target: str, chunks: Iterable[bytes | memoryview]) -> int:
        """Write a file of the tier atomically; returns the bytes that it occupies."""
        temporary = os.path.join(self.temporary, f"{os.getpid()}-{secrets.token_hex(8)}.tmp")
        return occupied(write_atomic(target, chunks, temporary, before_replace=self.touch))

    def listing(self) -> Iterator[FileInfo]:
        """Every entry and object; files that vanish meanwhile are left out."""
        yield from _shards(self.root, _ENTRY, is_entry=True)
        yield from _shards(os.path.join(self.root, "objects"), OBJECT_NAME, is_entry=False)

    @staticmethod
    def left_over(folder: str, suffix: str) -> Iterator[tuple[str, float]]:
        """Files with that suffix in `temporary`, `locks` or `pins`, and their modification times."""
        with suppress(OSError), os.scandir(folder) as listing:
            for item in listing:
                if item.name.endswith(suffix):
                    with suppress(OSError):
                        yield item.path, item.stat(follow_symlinks=False).st_mtime


def occupied(size: int) -> int:
    """Bytes that a file of that size takes, in blocks of 4 KiB, at least one."""
    return max(1, -(-size // _BLOCK)) * _BLOCK


def remove(path: str) -> bool:
    """Remove a file; False if it has gone already or may not be removed."""
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def read_start(path: str, size: int) -> tuple[bytes, int]:
    """Up to ``size`` bytes from the start of a file, and the size of the file."""
    with open_file(path) as file:
        return file.read(size), os.fstat(file.fileno()).st_size


def open_file(path: str) -> FileIO:
    """Open a file of the tier to read it, without a buffer.

    Raises:
        DamagedError: if there is a pipe or a device in its place.
        OSError: if it is not there or cannot be read.
    """
    try:
        return open(path, "rb", buffering=0, opener=regular)
    except NotRegularError as problem:
        raise DamagedError("there is no file in its place") from problem


def write_atomic(
    target: str,
    chunks: Iterable[bytes | memoryview],
    temporary: str,
    *,
    before_replace: Callable[[str], None] | None = None,
) -> int:
    """Write ``temporary`` and rename it to ``target``; nothing stays behind on any error or Ctrl-C.

    Args:
        target: The final path; its folder is made if it is missing.
        chunks: The contents.
        temporary: A new file on the same file system.
        before_replace: Called with the temporary path once it is complete.

    Returns:
        The size of the file.
    """
    size = 0
    try:
        with _create(temporary) as file:
            for chunk in chunks:
                size += file.write(chunk)
        if before_replace is not None:
            before_replace(temporary)
        try:
            os.replace(temporary, target)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.replace(temporary, target)
    except BaseException:
        remove(temporary)
        raise
    return size


def is_key(key: object) -> bool:
    """Tell whether something is a key: 64 lowercase hexadecimal digits."""
    return isinstance(key, str) and _KEY.fullmatch(key) is not None


def _checked(key: str) -> str:
    if not is_key(key):
        raise ValueError(f"a key is 64 lowercase hexadecimal digits, got {key!r}")
    return key


def _create(path: str) -> BinaryIO:
    try:
        return open(path, "xb")
    except FileNotFoundError:  # somebody removed the folder
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return open(path, "xb")


def _shards(root: str, pattern: re.Pattern[str], *, is_entry: bool) -> Iterator[FileInfo]:
    with suppress(OSError), os.scandir(root) as shards:
        for shard in shards:
            if _SHARD.fullmatch(shard.name) is None:
                continue
            with suppress(OSError), os.scandir(shard.path) as listing:
                for item in listing:
                    if pattern.fullmatch(item.name) is None:
                        continue
                    with suppress(OSError):
                        facts = item.stat(follow_symlinks=False)
                        yield FileInfo(facts.st_mtime_ns, item.path, facts.st_size, is_entry)


def _open_folder(folder: Path) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError:
        raise StoreError("is a file where the store needs a folder", where=str(folder), advice=_ADVICE) from None
    except OSError as problem:
        if not os.path.isdir(folder):
            text = f"the store's folder cannot be made: {problem.strerror}"
            raise StoreError(text, where=str(folder), advice=_ADVICE) from problem
    _check_readable(str(folder))


def _check_readable(folder: str) -> None:
    try:
        with os.scandir(folder):
            pass
        os.stat(os.path.join(folder, "."))
    except OSError as problem:
        raise StoreError(
            f"the store's folder{_owner(folder)} cannot be read: {problem.strerror}",
            where=folder,
            advice=_ADVICE,
        ) from problem


def _owner(folder: str) -> str:
    """`` of user NAME`` if it is somebody else's and that can be told."""
    with suppress(ImportError, KeyError, OSError, AttributeError):
        import pwd

        owner = os.stat(folder).st_uid
        if owner != os.geteuid():
            return f" of user {pwd.getpwuid(owner).pw_name}"
    return ""
