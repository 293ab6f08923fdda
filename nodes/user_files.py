"""Opening a user's files, within bounds."""

from __future__ import annotations

from pathlib import Path

from graphflow import runtime
from graphflow.errors import LimitError, MediaError
from graphflow.limits import LIMITS


def locate(name: str) -> Path:
    """Find a user's file: an absolute path, or a name in the input folders or the working folder.

    Raises:
        MediaError: There is no such file, or a relative name leads out of its folder.
    """
    path = Path(name).expanduser()
    if path.is_absolute():
        candidates = [path]
    else:
        candidates = []
        for root in (*runtime.current().input_roots, Path.cwd()):
            candidate = (root / path).resolve()
            if candidate.is_relative_to(root.resolve()):
                candidates.append(candidate)
        if not candidates:
            raise MediaError("the name leads out of the input folders", where=name)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise MediaError("there is no such file", where=name)


def read(name: str) -> bytes:
    """Read a user's file.

    Raises:
        MediaError: It is not there or cannot be read.
        LimitError: It is larger than the limits allow.
    """
    path = locate(name)
    try:
        size = path.stat().st_size
        if size > LIMITS.media_bytes:
            raise LimitError(f"the file has {size:,} bytes, more than {LIMITS.media_bytes:,}", where=name)
        return path.read_bytes()
    except OSError as error:
        raise MediaError(f"the file cannot be read: {error.strerror or error}", where=name) from error
