"""The disk tier: values and files by key in a folder that several processes may use."""

# Paths are plain strings here: pathlib would double the cost of a look-up.
# ruff: noqa: PTH100, PTH122, PTH123
from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.store import pins, stored_files, upkeep
from graphflow.store.claims import locked_file
from graphflow.store.encoded import Encoded, Stored, StoreStats
from graphflow.store.entries import (
    has_objects,
    pack,
    read_entry,
    read_head,
    read_tensors,
    read_told,
    size_of,
    write_object,
)
from graphflow.store.folder import Folder, occupied, open_file, remove
from graphflow.store.layout import DamagedError
from graphflow.store.stored_files import FILE_KIND, StoredFile
from graphflow.store.tapes import Tape
from graphflow.store.upkeep import VerifyReport

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["DiskTier"]

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


class DiskTier:
    """Values and files by key in a folder; safe to use from several threads and processes.

    Every method that takes a key raises ValueError if it is not 64 lowercase hexadecimal digits.

    Args:
        folder: The folder, made if it is missing; everything lives in its subfolder ``v1``.
        max_bytes: The cap, in bytes as occupied in blocks of 4 KiB.
        on_problem: Called with a sentence when the folder refuses a write (the first time), when something is too large
            to be stored, and when a damaged entry was removed. By default a warning of the logger ``graphflow.store``.

    Raises:
        StoreError: if the folder cannot be made or read at all.
    """

    def __init__(
        self, folder: str | os.PathLike[str], max_bytes: int, *, on_problem: Callable[[str], None] | None = None
    ) -> None:
        if max_bytes <= 0:
            raise ValueError(f"max_bytes must be > 0, got {max_bytes}")
        self.max_bytes = max_bytes
        self._files = Folder(Path(folder).absolute())
        self.report = on_problem or logging.getLogger("graphflow.store").warning
        self._lock = threading.Lock()
        self._evicting = threading.Lock()
        self._allowance = -1  # bytes that may be written before the folder is listed again
        self._hits = self._misses = self._evicted = self._damaged = self._failed = 0
        self._refused = False
        upkeep.sweep(self._files)

    def get(self, key: str) -> Encoded | None:
        """The value, every byte checked and its tensors in memory of their own; None if there is none."""
        path = self._files.entry(key)
        used = [path]
        try:
            entry = read_entry(path, key)
            tensors = read_tensors(self._files, entry, used) if entry.kind != FILE_KIND else None
        except FileNotFoundError:
            if len(used) > 1:
                remove(path)  # its object was evicted
            tensors = None
        except DamagedError as problem:
            self._discard(key, used, problem)
            tensors = None
        except OSError as problem:
            self.report(f"cannot read {key} in the store: {problem}")
            tensors = None
        if tensors is None:
            self._missed()
            return None
        self._used(used)
        return Encoded(entry.kind, entry.data, tensors, entry.made)

    def made(self, key: str) -> JsonValue:
        """How the value under a key came about; None if that is not told or there is none. No tensor is read."""
        made: JsonValue = self.told(key).get("made")
        return made

    def told(self, key: str) -> dict[str, Any]:
        """What an entry says in JSON: ``kind``, ``data``, ``made``; empty if there is none. No tensor is read."""
        try:
            return read_told(self._files.entry(key), key)[1]
        except (DamagedError, OSError):
            return {}

    def contents(self) -> Iterator[Stored]:
        """Every stored value and file, with the bytes of what it alone brings: objects of several count with the first."""
        kept, seen = pins.pinned_keys(self._files), set[str]()
        for file in self._files.listing():
            if not file.is_entry:
                continue
            try:
                head, told = read_told(file.path, file.key)
            except (DamagedError, OSError):
                continue
            own = [(name, size) for name, size in head.objects if name not in seen]
            seen.update(name for name, _ in own)
            made = told.get("made")
            yield Stored(
                file.key,
                made if isinstance(made, dict) else {},
                occupied(file.size) + sum(occupied(size) for _, size in own),
                file.used_ns / 1e9,
                file.key in kept,
            )

    def pin(self, name: str, keys: Iterable[str]) -> None:
        """Keep the values under these keys until `unpin`; a pin of the same name is replaced.

        Raises:
            OSError: if the folder cannot be written.
        """
        pins.pin(self._files, name, keys)

    def unpin(self, name: str) -> bool:
        """Let go of what a pin keeps; returns whether there was one."""
        return pins.unpin(self._files, name)

    def pinned(self) -> dict[str, frozenset[str]]:
        """The keys of each pin by its name."""
        return pins.pinned(self._files)

    def put(self, key: str, value: Encoded) -> bool:
        """Store a value; False if the folder refuses it or it is larger than 90 % of the cap.

        Raises:
            ValueError: if the data is not JSON, the kind is ``file``, or a tensor is called ``__metadata__``.
            StoreError: if a tensor is sparse or quantised.
        """
        path = self._files.entry(key)
        if value.kind == FILE_KIND:
            raise ValueError(f"the kind {FILE_KIND!r} is reserved for stored files")
        if self._refused:
            return False
        packed = pack(key, value)
        if not self._fits(key, packed.nbytes):
            return False
        try:
            written = 0
            for name, chunks in packed.objects.items():
                written += write_object(self._files, name, size_of(chunks), chunks)
            written += self._files.write(path, packed.entry)
        except OSError as problem:
            self._refuse(problem)
            return False
        self._wrote(written)
        return True

    def contains(self, key: str) -> bool:
        """Whether the entry and all its objects are there, whole by their sizes; no tensor is read."""
        path = self._files.entry(key)
        try:
            return has_objects(self._files, read_head(path, key).objects)
        except (DamagedError, OSError):
            return False

    def contains_many(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys for which `contains` holds."""
        return {key for key in keys if self.contains(key)}

    def put_file(
        self, key: str, path: str | os.PathLike[str], *, suffix: str | None = None, made: JsonValue = None
    ) -> bool:
        """Store a copy of a file's bytes under a key; False if the folder refuses it or it is too large.

        Args:
            key: The key; a value under the same key is replaced.
            path: The file.
            suffix: What `file_digest` gives back, e.g. ``.png``; the path's own by default.
            made: How it came about, as `made` gives it back.

        Raises:
            ValueError: if the suffix is not a dot with at most 16 letters or digits.
            OSError: if the file cannot be opened.
        """
        entry = self._files.entry(key)
        suffix = stored_files.check_suffix(os.path.splitext(path)[1] if suffix is None else suffix)
        with open(path, "rb") as source:
            if self._refused or not self._fits(key, os.fstat(source.fileno()).st_size):
                return False
            try:
                file = stored_files.identify(source, suffix)
                chunks = stored_files.read_chunks(source)
                written = write_object(self._files, stored_files.object_name(file), file.size, chunks)
                written += self._files.write(entry, stored_files.describe(file, key, made))
            except OSError as problem:
                self._refuse(problem)
                return False
        self._wrote(written)
        return True

    def file_digest(self, key: str) -> StoredFile | None:
        """Digest, suffix and size of the file stored under a key, without reading it; None if there is none."""
        try:
            return stored_files.find(self._files, key)
        except (DamagedError, OSError):
            return None

    def copy_file(self, key: str, target: str | os.PathLike[str]) -> bool:
        """Copy the file stored under a key to ``target``, atomically and checked; replaces what is there.

        Returns:
            False if there is no such file or it is damaged (it is removed then); ``target`` is untouched.

        Raises:
            OSError: if the target cannot be written.
        """
        file = self.file_digest(key)
        if file is not None:
            used = [self._files.entry(key), self._files.object(stored_files.object_name(file))]
            try:
                source = open_file(used[1])  # its errors are a miss, the target's are not
            except (DamagedError, OSError):
                source = None
            if source is not None:
                with source:
                    try:
                        stored_files.copy_out(source, file, os.path.abspath(target))
                    except DamagedError as problem:
                        self._discard(key, used, problem)
                    else:
                        self._used(used)
                        return True
        self._missed()
        return False

    def evict(self, key: str) -> bool:
        """Remove an entry, e.g. one that nobody can decode; returns whether there was one.

        Its objects stay for other entries, until they are the least recently used.
        """
        return remove(self._files.entry(key))

    def tape(self, key: str) -> Tape:
        """How far an interrupted computation of a key has come; to be used under a claim.

        Tapes count beside the cap: one may take a tenth of it, and so may all others together, the latest of them.
        """
        path, most = self._files.tape(key), self.max_bytes // 10
        return Tape(path, 0 if self._refused else most, lambda: upkeep.trim_tapes(self._files, path, most))

    @contextmanager
    def claim(self, key: str, deadline: float | None, poll: Callable[[], None] | None) -> Iterator[bool]:
        """Keep other processes from claiming a key, see `Store.claim`; ``deadline`` is of `time.monotonic`."""
        path = self._files.lock_file(key)
        if self._refused:
            yield False
            return
        with locked_file(path, deadline, poll, self._refuse) as held:
            yield held

    def stats(self) -> StoreStats:
        """Contents, from a listing of the folder, and this process's counters."""
        entries = objects = total = 0
        for file in self._files.listing():
            entries += file.is_entry
            objects += not file.is_entry
            total += occupied(file.size)
        with self._lock:
            return StoreStats(
                entries=entries,
                objects=objects,
                bytes=total,
                max_bytes=self.max_bytes,
                hits=self._hits,
                misses=self._misses,
                evicted=self._evicted,
                damaged=self._damaged,
                failed=self._failed,
            )

    def prune(self, max_bytes: int | None = None, *, older: float | None = None) -> int:
        """Sweep what killed processes left, drop what no entry can use, and evict down to ``max_bytes``; pins hold.

        Args:
            max_bytes: Bytes to keep at most; the cap by default.
            older: Also evict what nothing used for so many seconds.

        Returns:
            How many files were removed.
        """
        swept = upkeep.evict_older(self._files, older) if older is not None else 0
        swept += upkeep.sweep(self._files) + upkeep.drop_unusable(self._files)
        cap = self.max_bytes if max_bytes is None else max_bytes
        return swept + self._evict(cap, cap)

    def clear(self) -> int:
        """Remove every entry and object but pinned ones, and what killed processes left; returns how many files."""
        kept = pins.pinned_paths(self._files)
        files = [file.path for file in self._files.listing() if file.path not in kept]
        files += [path for path, _ in self._files.left_over(self._files.tapes, ".tape")]
        return sum(map(remove, files)) + upkeep.sweep(self._files)

    def verify(self) -> VerifyReport:
        """Read and check every file, and remove damaged ones; needs no torch."""
        report = upkeep.verify(self._files, self.max_bytes)
        with self._lock:
            self._damaged += len(report.damaged)
        return report

    def _fits(self, key: str, size: int) -> bool:
        if size <= upkeep.low_water(self.max_bytes):
            return True
        self.report(f"{key} is not stored: {size:,} bytes are too many for a store of {self.max_bytes:,}")
        return False

    def _wrote(self, size: int) -> None:
        with self._lock:
            self._allowance -= size
            due = self._allowance < 0
        if due and self._evicting.acquire(blocking=False):
            try:
                self._evict(self.max_bytes, upkeep.low_water(self.max_bytes))
            finally:
                self._evicting.release()

    def _evict(self, cap: int, target: int) -> int:
        total, removed = upkeep.evict(self._files, cap, target)
        step = self.max_bytes // 20
        room = self.max_bytes - total
        with self._lock:
            # Where files cannot be removed, listing the folder at every write would not help.
            self._allowance = min(room, step) if room >= 0 else step
            self._evicted += removed
        return removed

    def _used(self, paths: list[str]) -> None:
        for path in paths:
            self._files.touch(path)
        with self._lock:
            self._hits += 1

    def _missed(self) -> None:
        with self._lock:
            self._misses += 1

    def _discard(self, key: str, used: list[str], problem: DamagedError) -> None:
        # Reading stops at the first damage, so of the objects only the last one can be the damaged one.
        for path in {used[0], used[-1]}:
            remove(path)
        with self._lock:
            self._damaged += 1
        self.report(f"removed the damaged entry {key} from the store: {problem}")

    def _refuse(self, problem: OSError) -> None:
        with self._lock:
            self._failed += 1
            first = self._failed == 1
            self._refused = problem.errno in _REFUSED
        if first:
            self.report(f"results are not stored in {self._files.root}: {problem.strerror or problem}")
