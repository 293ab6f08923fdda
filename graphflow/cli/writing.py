"""Writing the files that a command line names."""

from __future__ import annotations

from pathlib import Path

from graphflow.errors import InvalidInputError

STANDARD_OUTPUT = Path("-")


def file_to_write(out: Path | None, *, force: bool) -> Path | None:
    """Return the file that ``-o`` names; None stands for standard output, as ``-`` does.

    Raises:
        InvalidInputError: It is there already, and may not be written over.
    """
    if out is None or out == STANDARD_OUTPUT:
        return None
    if out.exists() and not force:
        raise InvalidInputError("the file is there already", where=str(out), advice="--force writes over it")
    return out


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
