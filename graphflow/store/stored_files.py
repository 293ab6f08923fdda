"""Whole files (pictures that nodes wrote) kept under a key, their bytes stored once by content."""

# Paths are plain strings here: pathlib would double the cost of a look-up.
# ruff: noqa: PTH103, PTH118
from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from graphflow.store.entries import Chunks, has_objects, read_entry
from graphflow.store.folder import Folder, write_atomic
from graphflow.store.layout import DamagedError, pack_entry

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = [
    "FILE_KIND",
    "StoredFile",
    "check_suffix",
    "copy_out",
    "describe",
    "find",
    "identify",
    "object_name",
    "read_chunks",
]

FILE_KIND = "file"
_SUFFIX = re.compile(r"(?:\.[A-Za-z0-9]{1,16})?")
_CHUNK = 1 << 20


class StoredFile(NamedTuple):
    """What is known of a stored file without reading it; the suffix has its dot, e.g. ``.png``."""

    sha256: str
    suffix: str
    size: int


def object_name(file: StoredFile) -> str:
    """The object that holds the bytes."""
    return f"{file.sha256}.bin"


def check_suffix(suffix: str) -> str:
    """The suffix itself.

    Raises:
        ValueError: if it is not empty and not a dot with at most 16 letters or digits.
    """
    if _SUFFIX.fullmatch(suffix) is None:
        raise ValueError(f"a suffix is a dot and at most 16 letters or digits, got {suffix!r}")
    return suffix


def read_chunks(source: BinaryIO) -> Iterator[bytes]:
    """The file from its start, one MiB at a time."""
    source.seek(0)
    while chunk := source.read(_CHUNK):
        yield chunk


def identify(source: BinaryIO, suffix: str) -> StoredFile:
    """Digest a file by reading it."""
    digest = hashlib.sha256()
    size = 0
    for chunk in read_chunks(source):
        digest.update(chunk)
        size += len(chunk)
    return StoredFile(digest.hexdigest(), suffix, size)


def describe(file: StoredFile, key: str, made: JsonValue = None) -> Chunks:
    """The chunks of a key's entry for a stored file."""
    data: JsonValue = {"sha256": file.sha256, "suffix": file.suffix, "size": file.size}
    return pack_entry(FILE_KIND, data, {}, {}, {object_name(file): file.size}, key=key, made=made)


def find(folder: Folder, key: str) -> StoredFile | None:
    """The stored file that a key's entry describes; None if it describes a value or the bytes are not all there.

    Raises:
        DamagedError: if the entry is damaged or another key's.
        OSError: if it is not there or cannot be read.
    """
    entry = read_entry(folder.entry(key), key)
    if entry.kind != FILE_KIND:
        return None
    try:
        data = dict(entry.data)  # type: ignore[arg-type]  # checked right here
        file = StoredFile(str(data["sha256"]), check_suffix(str(data["suffix"])), int(str(data["size"])))
    except (KeyError, TypeError, ValueError) as problem:
        raise DamagedError("the entry does not describe a file") from problem
    if entry.objects != ((object_name(file), file.size),):
        raise DamagedError("the entry describes another file than it names")
    return file if has_objects(folder, entry.objects) else None


def copy_out(source: BinaryIO, file: StoredFile, target: str) -> None:
    """Write the checked bytes to ``target``, atomically.

    Raises:
        DamagedError: if they do not match; ``target`` is untouched then.
        OSError: if the target cannot be written.
    """

    def checked() -> Iterator[bytes]:
        digest = hashlib.sha256()
        try:
            for chunk in read_chunks(source):
                digest.update(chunk)
                yield chunk
        except OSError as problem:
            raise DamagedError(f"the file cannot be read: {problem}") from problem
        if digest.hexdigest() != file.sha256:
            raise DamagedError("the file does not match its digest")

    where, name = os.path.split(target)
    os.makedirs(where, exist_ok=True)
    write_atomic(target, checked(), os.path.join(where, f".{name[:100]}.{secrets.token_hex(8)}.tmp"))
