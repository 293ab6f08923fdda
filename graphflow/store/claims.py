"""Claims: one computes a key, the others wait; between threads and between processes."""

# Paths are plain strings here: pathlib would double the cost of a look-up.
# ruff: noqa: PTH103, PTH108, PTH120
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["KeyLocks", "locked_file"]

_POLL_SECONDS = 0.05


class KeyLocks:
    """One lock per key between the threads of this process; not reentrant."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, key: str, deadline: float | None, poll: Callable[[], None] | None) -> Iterator[bool]:
        """Hold the key's lock; False if ``deadline`` (of `time.monotonic`) passed first.

        Whatever ``poll`` raises ends the wait.
        """
        held = self._acquire(key, deadline, poll)
        try:
            yield held
        finally:
            if held:
                with self._changed:
                    self._held.discard(key)
                    self._changed.notify_all()

    def _acquire(self, key: str, deadline: float | None, poll: Callable[[], None] | None) -> bool:
        while True:
            with self._changed:
                if key not in self._held:
                    self._held.add(key)
                    return True
                if _expired(deadline):
                    return False
                self._changed.wait(_POLL_SECONDS)
            if poll is not None:
                poll()


@contextmanager
def locked_file(
    path: str, deadline: float | None, poll: Callable[[], None] | None, refused: Callable[[OSError], None]
) -> Iterator[bool]:
    """Hold an advisory lock on a file, which the system releases if the process dies; the file is removed afterwards.

    Args:
        path: The file; its folder is made if it is missing.
        deadline: When to give up, in the time of `time.monotonic`.
        poll: Called while waiting; what it raises ends the wait.
        refused: Called with the error where the folder allows no locks.

    Yields:
        False if ``deadline`` passed first, or if the folder allows no locks.
    """
    lock = None
    try:
        lock = _acquire(path, deadline, poll)
    except OSError as problem:
        refused(problem)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            # Removed while it is held: whoever opened it before finds another file, or none, at the path and retries.
            with suppress(OSError):
                os.unlink(path)
            lock.release()


def _acquire(path: str, deadline: float | None, poll: Callable[[], None] | None) -> BaseFileLock | None:
    from filelock import FileLock, Timeout

    os.makedirs(os.path.dirname(path), exist_ok=True)
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=0)
            return lock
        except Timeout:
            if _expired(deadline):
                return None
        time.sleep(_POLL_SECONDS)
        if poll is not None:
            poll()


def _expired(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
