"""Entries in the folder: values written and read, with their shared tensors in objects."""

# Paths are plain strings here: pathlib would double the cost of a look-up.
# ruff: noqa: PTH116
from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphflow.store.encoded import Encoded
from graphflow.store.folder import Folder, open_file, read_start
from graphflow.store.layout import (
    MIN_OBJECT_BYTES,
    DamagedError,
    Entry,
    Head,
    Part,
    Slot,
    digest_of,
    header_length,
    object_header,
    pack_entry,
    parse,
    parse_head,
)
from graphflow.store.tensors import tensor_from, to_part

if TYPE_CHECKING:
    import torch

__all__ = [
    "Chunks",
    "Packed",
    "has_objects",
    "pack",
    "read_entry",
    "read_head",
    "read_tensors",
    "read_told",
    "size_of",
    "write_object",
]

Chunks = list[bytes | memoryview]
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Packed:
    """A value ready to be written: the chunks of its entry and of each object by name."""

    entry: Chunks
    objects: dict[str, Chunks]

    @property
    def nbytes(self) -> int:
        """The size of all files together."""
        return sum(map(size_of, [self.entry, *self.objects.values()]))


def pack(key: str, value: Encoded) -> Packed:
    """Digest and describe the tensors of a key's value; nothing is copied or written."""
    inline: dict[str, Part] = {}
    stored: dict[str, Slot] = {}
    objects: dict[str, Chunks] = {}
    for name, tensor in value.tensors.items():
        part = to_part(name, tensor)
        if part.data.nbytes < MIN_OBJECT_BYTES:
            inline[name] = part
            continue
        chunks: Chunks = [object_header(part.dtype, part.shape, part.data.nbytes), part.data]
        place = f"{digest_of(*chunks)}.safetensors"
        stored[name] = Slot(part.dtype, part.shape, place)
        objects[place] = chunks
    sizes = {place: size_of(chunks) for place, chunks in objects.items()}
    return Packed(pack_entry(value.kind, value.data, inline, stored, sizes, key=key, made=value.made), objects)


def read_head(path: str, key: str) -> Head:
    """The checked header of a key's entry.

    Raises:
        DamagedError: if it is cut off, altered, another key's or no file.
        OSError: if it is not there or cannot be read.
    """
    raw, size = read_start(path, _HEAD_BYTES)
    if len(raw) < size and len(raw) < header_length(raw):
        raw, size = read_start(path, min(size, header_length(raw)))
    return parse_head(raw, size, key)


def read_told(path: str, key: str) -> tuple[Head, dict[str, Any]]:
    """The header of an entry and what it says in JSON: ``kind``, ``data``, ``made``; raises as `read_head` does."""
    head = read_head(path, key)
    try:
        told = json.loads(head.value)
    except (ValueError, RecursionError) as problem:
        raise DamagedError("the value is not that of an entry") from problem
    if not isinstance(told, dict):
        raise DamagedError("the value is not that of an entry")
    return head, told


def read_entry(path: str, key: str) -> Entry:
    """A whole checked entry, without its objects; raises as `read_head` does."""
    with open_file(path) as file:
        raw, size = file.read(_HEAD_BYTES), os.fstat(file.fileno()).st_size
        if len(raw) < size:
            raw += file.read(max(0, header_length(raw) - len(raw)))
            parse_head(raw, size, key)  # the rest is as long as it says
            raw += file.read(size - len(raw))
        return parse(raw, key)


def has_objects(folder: Folder, objects: Iterable[tuple[str, int]]) -> bool:
    """Whether all these objects are there in their full size."""
    try:
        return all(os.stat(folder.object(name)).st_size == size for name, size in objects)
    except OSError:
        return False


def read_tensors(folder: Folder, entry: Entry, used: list[str]) -> dict[str, torch.Tensor]:
    """The entry's tensors, each checked and in memory of its own; equal ones of one entry share it.

    Args:
        folder: Where the objects are.
        entry: The entry.
        used: Receives the path of each object before it is read.

    Raises:
        DamagedError: if an object is cut off or altered.
        OSError: if one is not there or cannot be read.
    """
    read: dict[str, torch.Tensor] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, slot in entry.slots.items():
        if not isinstance(slot.place, str):
            tensors[name] = _inline(slot, slot.place, entry.inline)
            continue
        if slot.place not in read:
            used.append(folder.object(slot.place))
            read[slot.place] = _read_object(used[-1], slot, slot.place)
        tensors[name] = read[slot.place]
    return tensors


def write_object(folder: Folder, name: str, size: int, chunks: Iterable[bytes | memoryview]) -> int:
    """Write an object unless it is there already; returns the bytes newly occupied."""
    path = folder.object(name)
    if has_objects(folder, [(name, size)]):
        folder.touch(path)
        return 0
    return folder.write(path, chunks)


def size_of(chunks: Chunks) -> int:
    """Bytes in all chunks."""
    return sum(memoryview(chunk).nbytes for chunk in chunks)


def _read_object(path: str, slot: Slot, name: str) -> torch.Tensor:
    with open_file(path) as file:
        start = file.read(8)
        nbytes = os.fstat(file.fileno()).st_size - header_length(start)
        header = object_header(slot.dtype, slot.shape, nbytes)
        if start + file.read(len(header) - 8) != header:
            raise DamagedError("the header of a tensor is cut off or altered")

        def fill(target: memoryview) -> None:
            done = 0
            while done < target.nbytes and (count := file.readinto(target[done:])):
                done += count
            if f"{digest_of(header, target)}.safetensors" != name:
                raise DamagedError("a tensor does not match its digest")

        return tensor_from(slot.dtype, slot.shape, nbytes, fill)


def _inline(slot: Slot, place: tuple[int, int], inline: memoryview) -> torch.Tensor:
    part = inline[place[0] : place[1]]

    def fill(target: memoryview) -> None:
        target[:] = part

    return tensor_from(slot.dtype, slot.shape, part.nbytes, fill)
