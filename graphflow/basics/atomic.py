"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_on_their_way: set[Path] = set()
"""Files that this process is writing; only so that :func:`abandon` can find them."""

_HANDLES = "/proc/self/fd"
_creating = threading.RLock()
"""Held while a file is created; re-entrant, since a signal may come to the thread that holds it."""


def abandon() -> None:
    """Remove the files that this process is writing, and let it create no more: it ends at once."""
    _creating.acquire(timeout=1)
    for path in tuple(_on_their_way):
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def _temporary(folder: Path, data: bytes | Iterable[bytes]) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".graphflow-{secrets.token_hex(8)}.part"
    _on_their_way.add(path)  # before it is there, so that no signal comes in between
    try:
        with _creating:
            stream = path.open("xb")
        with stream:
            stream.writelines((data,) if isinstance(data, bytes) else data)
        yield path
    finally:
        path.unlink(missing_ok=True)
        _on_their_way.discard(path)


def _nameless(folder: Path) -> BinaryIO | None:
    """A file without a name, of which nothing is left if the process is killed; None where the system has none."""
    flag = getattr(os, "O_TMPFILE", 0)
    if not flag or not Path(_HANDLES).is_dir():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return os.fdopen(os.open(folder, flag | os.O_RDWR, 0o666), "w+b")
    except OSError:  # not every file system has them
        return None


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, replacing what is there.

    Raises:
        OSError: The folder cannot be written.
    """
    with _temporary(path.parent, data) as part:
        part.replace(path)


def write_new(path: Path, data: bytes | Iterable[bytes]) -> bool:
    """Write a file, of one piece or several, unless there is one of that name; returns whether it was written.

    Two processes that write the same name do not overwrite each other: one of them gets False.

    Raises:
        OSError: The folder cannot be written.
    """
    if (nameless := _nameless(path.parent)) is not None:
        with nameless as stream:
            stream.writelines((data,) if isinstance(data, bytes) else data)
            stream.flush()
            try:
                # Naming a folder, although the path needs none, has the link follow the handle to the file.
                os.link(f"{_HANDLES}/{stream.fileno()}", path, src_dir_fd=stream.fileno())
                return True
            except FileExistsError:
                return False
            except OSError:  # nor does every system give one a name
                stream.seek(0)
                data = stream.read()
    with _temporary(path.parent, data) as part:
        try:
            os.link(part, path)
        except FileExistsError:
            return False
        except OSError:
            # No hard links on this file system: reserve the name, then put the file there.
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                return False
            try:
                part.replace(path)
            except OSError:
                path.unlink(missing_ok=True)
                raise
        return True
