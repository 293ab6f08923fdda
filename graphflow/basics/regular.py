"""Opening files that are files: a pipe or a device in the place of one would block, or never end."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class NotRegularError(OSError):
    """There is a pipe, a device or a socket where a file should be."""


def regular(path: str, flags: int) -> int:
    """Open a regular file without waiting for anybody; an ``opener`` for ``open``.

    Raises:
        NotRegularError: It is a pipe, a device or a socket.
        OSError: It is not there or may not be opened.
    """
    try:
        descriptor = os.open(path, flags | _AT_ONCE)
    except OSError as problem:
        if problem.errno in (errno.ENXIO, errno.ENODEV):  # a socket, or a device without a driver
            raise NotRegularError(errno.EINVAL, "it is no regular file", path) from problem
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # open() itself complains of a folder
        return descriptor
    os.close(descriptor)
    raise NotRegularError(errno.EINVAL, "it is no regular file", path)


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read its bytes; raises as :func:`regular` does."""
    return open(path, "rb", opener=regular)  # Path.open takes no opener


def is_there(path: Path) -> bool:
    """Tell whether there is a file or a folder; a name that no file can have, as strangers write them, is not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
