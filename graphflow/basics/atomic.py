"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_on_their_way: set[Path] = set()
"""Files that this process is writing; only so that :func:`abandon` can find them."""


def abandon() -> None:
    """Remove the files that this process is writing, since it ends at once."""
    for path in tuple(_on_their_way):
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def _temporary(folder: Path, data: bytes) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".graphflow-", suffix=".part", dir=folder)
    path = Path(name)
    _on_their_way.add(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        umask = os.umask(0)
        os.umask(umask)
        path.chmod(0o666 & ~umask)
        yield path
    finally:
        path.unlink(missing_ok=True)
        _on_their_way.discard(path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, replacing what is there.

    Raises:
        OSError: The folder cannot be written.
    """
    with _temporary(path.parent, data) as part:
        part.replace(path)


def write_new(path: Path, data: bytes) -> bool:
    """Write a file unless there is one of that name; returns whether it was written.

    Two processes that write the same name do not overwrite each other: one of them gets False.

    Raises:
        OSError: The folder cannot be written.
    """
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
