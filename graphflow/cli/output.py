"""Standard output for what a command answers alone: what nodes and libraries print goes to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, TextIO

_STDOUT, _STDERR = 1, 2
_kept: list[TextIO] = []


def answers() -> TextIO:
    """Return the stream for what a command answers, from any thread."""
    return _kept[-1] if _kept else sys.stdout


@contextmanager
def sole_output() -> Iterator[None]:
    """Keep standard output for :func:`answers`; what others print, in C too, goes to standard error until the block ends."""
    outer = sys.stdout
    kept = _moved(outer)
    _kept.append(kept)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = outer
        _kept.pop()
        try:
            kept.flush()
        finally:
            if kept is not outer:
                os.dup2(kept.fileno(), _STDOUT)
                with suppress(OSError):  # what could not be flushed
                    kept.close()


def alone(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command run with standard output for itself."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        with sole_output():
            return command(*args, **options)

    return run


def _moved(stream: TextIO) -> TextIO:
    """Return the same stream on another descriptor, with its own leading to standard error; the stream itself where it has none."""
    try:
        if stream.fileno() != _STDOUT:
            return stream
        stream.flush()
        own = os.dup(_STDOUT)
        os.dup2(_STDERR, _STDOUT)
    except (OSError, ValueError):  # replaced by a program, or closed
        return stream
    buffering = 1 if stream.line_buffering else -1
    return os.fdopen(own, "w", buffering, encoding=stream.encoding, errors=stream.errors)
