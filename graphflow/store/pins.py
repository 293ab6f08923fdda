"""Pinned results: entries that eviction leaves, and why. Each pin is a JSON file with the keys that it keeps."""

# Paths are plain strings here: pathlib would double the cost of a look-up.
# ruff: noqa: PTH118, PTH123
from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress

from graphflow.store.entries import read_head
from graphflow.store.folder import Folder, is_key, remove, write_atomic
from graphflow.store.layout import DamagedError

__all__ = ["pin", "pinned", "pinned_keys", "pinned_paths", "unpin"]

_SUFFIX = ".json"


def pin(folder: Folder, name: str, keys: Iterable[str]) -> None:
    """Keep entries; a pin of the same name is replaced.

    Args:
        folder: The tier's folder.
        name: What the pin is called: the path of a lock.
        keys: The entries' keys.

    Raises:
        OSError: The folder cannot be written.
    """
    data = json.dumps({"name": name, "keys": sorted(set(keys))}, indent=1).encode()
    temporary = os.path.join(folder.temporary, f"{os.getpid()}-{secrets.token_hex(8)}.tmp")
    write_atomic(_path(folder, name), [data], temporary)


def unpin(folder: Folder, name: str) -> bool:
    """Forget a pin; returns whether there was one."""
    return remove(_path(folder, name))


def pinned(folder: Folder) -> dict[str, frozenset[str]]:
    """Return the keys of each pin by its name; a damaged pin is passed over."""
    return dict(sorted(_read(folder)))


def pinned_keys(folder: Folder) -> frozenset[str]:
    """Return the keys of all pins."""
    return frozenset().union(*pinned(folder).values())


def pinned_paths(folder: Folder) -> frozenset[str]:
    """Return the files of all pinned entries, their objects among them."""
    found: set[str] = set()
    for key in pinned_keys(folder):
        path = folder.entry(key)
        with suppress(DamagedError, OSError):
            found.update(folder.object(name) for name, _ in read_head(path, key).objects)
            found.add(path)
    return frozenset(found)


def _path(folder: Folder, name: str) -> str:
    return os.path.join(folder.pins, hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16] + _SUFFIX)


def _read(folder: Folder) -> Iterator[tuple[str, frozenset[str]]]:
    for path, _ in folder.left_over(folder.pins, _SUFFIX):
        with suppress(OSError, ValueError, KeyError, TypeError), open(path, encoding="utf-8") as file:
            data = json.load(file)
            yield str(data["name"]), frozenset(filter(is_key, data["keys"]))
