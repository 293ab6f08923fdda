"""Upkeep of the disk tier's folder: sweeping, evicting, verifying. Needs no torch."""

# Paths are plain strings here: pathlib would double the cost of a look-up.
# ruff: noqa: PTH110, PTH119, PTH122, PTH202
from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter

from graphflow.store.entries import has_objects, read_entry, read_head
from graphflow.store.folder import FileInfo, Folder, occupied, open_file, remove
from graphflow.store.layout import DIGEST_BYTES, DamagedError, MisplacedError
from graphflow.store.pins import pinned_paths

__all__ = [
    "VerifyReport",
    "drop_unusable",
    "evict",
    "evict_older",
    "low_water",
    "sweep",
    "trim_tapes",
    "verify",
]

STALE_SECONDS = 3600.0
STALE_TAPE_SECONDS = 7 * 86_400.0


@dataclass(frozen=True)
class VerifyReport:
    """What checking every file found.

    Attributes:
        files: Files checked.
        bytes: Their sizes.
        damaged: Names of the damaged files, which were removed.
        exchanged: Names of entries that are copies of another key's; removed too.
        incomplete: Names of entries whose objects are missing; removed too.
    """

    files: int
    bytes: int
    damaged: tuple[str, ...]
    exchanged: tuple[str, ...]
    incomplete: tuple[str, ...]


def low_water(cap: int) -> int:
    """Bytes that eviction leaves."""
    return cap * 9 // 10


def sweep(folder: Folder) -> int:
    """Remove temporary files and free lock files older than an hour, and tapes older than a week; returns how many."""
    now = time.time()
    limit = now - STALE_SECONDS
    swept = sum(remove(path) for path, changed in folder.left_over(folder.temporary, ".tmp") if changed < limit)
    tapes = folder.left_over(folder.tapes, ".tape")
    swept += sum(remove(path) for path, changed in tapes if changed < now - STALE_TAPE_SECONDS)
    locks = [path for path, changed in folder.left_over(folder.locks, ".lock") if changed < limit]
    if locks:
        from filelock import FileLock, Timeout

        for path in locks:
            try:
                with FileLock(path, timeout=0):
                    swept += remove(path)
            except (Timeout, OSError):
                continue
    return swept


def trim_tapes(folder: Folder, kept: str, most: int) -> None:
    """Remove the oldest tapes but one until the others take no more than so many bytes."""
    total = 0
    for path, _ in sorted(folder.left_over(folder.tapes, ".tape"), key=itemgetter(1), reverse=True):
        if path != kept:
            with suppress(OSError):
                total += occupied(os.path.getsize(path))
            if total > most:
                remove(path)


def evict(folder: Folder, cap: int, target: int) -> tuple[int, int]:
    """If the files occupy more than ``cap``, remove the least recently used until they fit ``target``; pinned ones stay.

    Returns:
        The bytes occupied now and the number of files removed.
    """
    files = list(folder.listing())
    total = sum(occupied(file.size) for file in files)
    removed = 0
    if total > cap:
        kept = pinned_paths(folder)
        for file in sorted(files):
            if total <= target:
                break
            if file.path in kept:
                continue
            gone = remove(file.path)
            removed += gone
            if gone or not os.path.exists(file.path):  # another process may be evicting as well
                total -= occupied(file.size)
    return total, removed


def evict_older(folder: Folder, seconds: float) -> int:
    """Remove entries and objects that nothing used for so long, but pinned ones; returns how many files."""
    limit, kept = time.time_ns() - int(seconds * 1e9), pinned_paths(folder)
    old = [file.path for file in folder.listing() if file.used_ns < limit and file.path not in kept]
    return sum(map(remove, old))


def drop_unusable(folder: Folder) -> int:
    """Remove entries whose header is damaged or whose objects are missing, and old objects without an entry.

    Objects younger than an hour stay: their entry may be about to be written.

    Returns:
        How many files were removed.
    """
    needed: set[str] = set()
    removed = 0
    objects: list[FileInfo] = []
    for file in list(folder.listing()):
        if not file.is_entry:
            objects.append(file)
            continue
        try:
            head = read_head(file.path, file.key)
            usable = has_objects(folder, head.objects)
            needed.update(name for name, _ in head.objects)
        except DamagedError:
            usable = False
        except OSError:
            continue
        if not usable:
            removed += remove(file.path)
    limit = time.time_ns() - int(STALE_SECONDS * 1e9)
    for file in objects:
        if file.used_ns < limit and os.path.basename(file.path) not in needed:
            removed += remove(file.path)
    return removed


def verify(folder: Folder, cap: int) -> VerifyReport:
    """Check every readable file against its digests and remove those that fail, and those larger than the whole store."""
    damaged: list[str] = []
    exchanged: list[str] = []
    incomplete: list[str] = []
    count = total = 0
    files = sorted(folder.listing(), key=lambda file: file.is_entry)  # objects first, then who needs them
    for file in files:
        name = os.path.basename(file.path)
        try:
            if file.size > cap:
                raise DamagedError("it is larger than the store may be")
            if not file.is_entry:
                _check_object(file.path, name)
            elif not has_objects(folder, read_entry(file.path, file.key).objects):
                incomplete.append(name)
                remove(file.path)
        except DamagedError as problem:
            (exchanged if isinstance(problem, MisplacedError) else damaged).append(name)
            remove(file.path)
        except OSError:
            continue
        count += 1
        total += file.size
    return VerifyReport(count, total, tuple(damaged), tuple(exchanged), tuple(incomplete))


def _check_object(path: str, name: str) -> None:
    expected, suffix = os.path.splitext(name)
    digest = hashlib.sha256() if suffix == ".bin" else hashlib.blake2b(digest_size=DIGEST_BYTES)
    with open_file(path) as source:
        while chunk := source.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != expected:
        raise DamagedError("the bytes do not match the name")
