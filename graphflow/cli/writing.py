"""Writing the files that a command line names."""

from __future__ import annotations

from pathlib import Path

from graphflow.errors import InvalidInputError


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text, whole or not at all.

    Raises:
        InvalidInputError: It cannot be written there.
    """
    from graphflow.basics import atomic

    try:
        atomic.write_bytes(path, text.encode("utf-8"))
    except OSError as error:
        in_file = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "what should be its folder is a file" if in_file else error.strerror or str(error)
        raise InvalidInputError(
            f"cannot write there: {reason}", where=str(path), advice="name another file with -o"
        ) from error
