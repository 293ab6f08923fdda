"""Opening a user's files, within bounds."""

from __future__ import annotations

from graphflow import runtime
from graphflow.basics.regular import open_regular
from graphflow.errors import LimitError, MediaError
from graphflow.limits import LIMITS


def read(name: str) -> bytes:
    """Read a user's file from where planning found it.

    Raises:
        MediaError: It is not there, cannot be read, or a document names it whose planning has not seen it.
        LimitError: It is larger than the limits allow.
    """
    current = runtime.current()
    if name not in current.files and not current.trusts(name):
        raise MediaError("a file name must be a literal, so that it can be checked before the run", where=name)
    path = current.path_of(name)
    try:
        size = path.stat().st_size
        if size > LIMITS.media_bytes:
            raise LimitError(f"the file has {size:,} bytes, more than {LIMITS.media_bytes:,}", where=name)
        with open_regular(path) as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"the file cannot be read: {reason}", where=name) from error
