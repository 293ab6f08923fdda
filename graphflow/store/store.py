"""The store: the memory tier in front of the disk tier."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from graphflow.store.claims import KeyLocks
from graphflow.store.disk import DiskTier
from graphflow.store.encoded import Encoded, StoreStats
from graphflow.store.memory import MemoryTier
from graphflow.store.stored_files import StoredFile
from graphflow.store.tapes import Tape

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["Store"]


class Store:
    """Values by key, in memory first, then on disk; safe to use from several threads.

    Args:
        memory: Holds values as they are.
        disk: Holds encoded values and files; None keeps everything in memory.
    """

    def __init__(self, memory: MemoryTier, disk: DiskTier | None = None) -> None:
        self.memory = memory
        self.disk = disk
        self._locks = KeyLocks()

    def get(self, key: str, decode: Callable[[Encoded], object], default: object = None) -> object:
        """The value from memory, or from disk and then held in memory, or ``default``.

        An entry that ``decode`` cannot read (written by another version of a value type) is reported, removed and a
        miss.
        """
        missing = object()
        value = self.memory.get(key, missing)
        if value is not missing:
            return value
        encoded = self.disk.get(key) if self.disk is not None else None
        if self.disk is None or encoded is None:
            return default
        try:
            value = decode(encoded)
        except Exception as problem:  # any value type may be behind it; the value is computed again
            self.disk.report(
                f"removed {key} ({encoded.kind}), which cannot be decoded: {type(problem).__name__}: {problem}"
            )
            self.disk.evict(key)
            return default
        self.memory.put(key, value, encoded.nbytes, encoded.made)
        return value

    def made(self, key: str) -> JsonValue:
        """How a value came about, as `put` was told; None if that is not known. No tensor is read."""
        if self.memory.contains(key):
            return cast("JsonValue", self.memory.made(key))
        return None if self.disk is None else self.disk.made(key)

    def put(
        self,
        key: str,
        value: object,
        *,
        nbytes: int,
        persist: bool,
        encode: Callable[[object], Encoded] | None = None,
        made: JsonValue = None,
    ) -> None:
        """Hold a value in memory and, with ``persist``, on disk.

        Args:
            key: Its key.
            value: The value, which nobody writes to from now on.
            nbytes: Its size, as counted against the memory budget.
            persist: Store it on disk too, where there is a disk tier.
            encode: Gives its form on disk; needed with ``persist``. What it raises is passed on.
            made: How it came about, as JSON: told again by `made`, part of nothing else.
        """
        self.memory.put(key, value, nbytes, made)
        if persist and self.disk is not None:
            if encode is None:
                raise TypeError("put(persist=True) needs encode")
            self.disk.put(key, replace(encode(value), made=made))

    def evict(self, key: str) -> None:
        """Forget a value or file, in memory and on disk, so that it is computed again."""
        self.memory.evict(key)
        if self.disk is not None:
            self.disk.evict(key)

    def locate(self, key: str) -> Literal["memory", "disk"] | None:
        """The tier that holds a value or a file; cheap, and on disk without reading tensors."""
        if self.memory.contains(key):
            return "memory"
        return "disk" if self.disk is not None and self.disk.contains(key) else None

    def contains(self, key: str) -> bool:
        """Whether a tier holds the key."""
        return self.locate(key) is not None

    def contains_many(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that a tier holds."""
        return {key for key in keys if self.contains(key)}

    def put_file(
        self, key: str, path: str | os.PathLike[str], *, suffix: str | None = None, made: JsonValue = None
    ) -> bool:
        """Store a file's bytes on disk, see `DiskTier.put_file`; False without a disk tier."""
        return self.disk is not None and self.disk.put_file(key, path, suffix=suffix, made=made)

    def file_digest(self, key: str) -> StoredFile | None:
        """What is known of a stored file, see `DiskTier.file_digest`."""
        return None if self.disk is None else self.disk.file_digest(key)

    def copy_file(self, key: str, target: str | os.PathLike[str]) -> bool:
        """Copy a stored file to ``target``, see `DiskTier.copy_file`; False without a disk tier."""
        return self.disk is not None and self.disk.copy_file(key, target)

    def tape(self, key: str) -> Tape | None:
        """What an interrupted computation of a key has left, see `DiskTier.tape`; None without a disk tier."""
        return None if self.disk is None else self.disk.tape(key)

    @contextmanager
    def claim(
        self,
        key: str,
        *,
        persist: bool = True,
        poll: Callable[[], None] | None = None,
        timeout: float | None = None,
    ) -> Iterator[bool]:
        """Hold the right to compute a key, waiting while another thread or process holds it.

        Look the value up again inside, since whoever held the claim before has most likely stored it::

            with store.claim(key, poll=cancellation.check):
                value = store.get(key, decode, missing)
                if value is missing:
                    ...  # compute and put

        Hold a claim only while computing its own key, never while waiting for another one. It is not reentrant.

        Args:
            key: The key.
            persist: Wait for other processes too; needless for values that stay in memory.
            poll: Called about twenty times a second while waiting; what it raises ends the wait.
            timeout: Seconds to wait at most; None waits as long as the holder lives.

        Yields:
            True if the claim is held; False after the timeout or where the folder allows no locks, in which case
            computing is still right, though another one may be doing the same.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._locks.hold(key, deadline, poll) as held:
            if not held or not persist or self.disk is None:
                yield held
                return
            with self.disk.claim(key, deadline, poll) as locked:
                yield locked

    def stats(self) -> dict[str, StoreStats]:
        """Statistics of each tier, by ``memory`` and ``disk``."""
        both = {"memory": self.memory.stats()}
        if self.disk is not None:
            both["disk"] = self.disk.stats()
        return both
