"""A disk tier with an object store behind it, which several machines share: what one has stored, the others find.

The object store has the same files under the same names as the folder (:mod:`graphflow.store`), an entry after its objects, so
whoever sees an entry can have all of it. Files come to the folder when they are first asked for, and are checked there
as its own are. Nothing is ever removed from the object store but entries that turn out damaged: it has rules for the age of files.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from graphflow.errors import StoreError
from graphflow.store.disk import DiskTier
from graphflow.store.encoded import Encoded
from graphflow.store.entries import has_objects, read_head
from graphflow.store.stored_files import StoredFile

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["MirroredTier"]

_CHUNK = 1 << 20


class MirroredTier(DiskTier):
    """Values and files by key in a folder, and in an object store behind it.

    Args:
        folder: The folder, as for :class:`DiskTier`.
        max_bytes: The cap of the folder.
        url: The object store, as fsspec has it: ``s3://bucket/results``, ``gs://…``, ``file:///mnt/results``, ``memory://…``.

    Raises:
        StoreError: The object store cannot be opened, or the folder as :class:`DiskTier` says.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int, url: str) -> None:
        super().__init__(folder, max_bytes)
        self._far, self._base = _opened(url)
        self._renames = isinstance(self._far.protocol, tuple) and "file" in self._far.protocol  # others write at once
        self._told_failure = False

    def get(self, key: str) -> Encoded | None:
        """The value, from the object store where the folder has none."""
        found = super().get(key)
        if found is None and self._fetch(key):
            objects = [name for name, _ in read_head(self._files.entry(key), key).objects]
            found = super().get(key)
            if found is None:  # it has come damaged
                self._remove(self._files.entry(key), *map(self._files.object, objects))
        return found

    def contains(self, key: str) -> bool:
        """Whether the entry is in the folder with all its objects, or in the object store."""
        return super().contains(key) or self._is_far(key)

    def told(self, key: str) -> dict[str, Any]:
        """What an entry says in JSON; empty if there is none. No tensor is read."""
        found = super().told(key)
        return super().told(key) if not found and self._fetch(key) else found

    def put(self, key: str, value: Encoded) -> bool:
        """Store a value in both places."""
        kept = super().put(key, value)
        if kept:
            self._send(key)
        return kept

    def put_file(
        self, key: str, path: str | os.PathLike[str], *, suffix: str | None = None, made: JsonValue = None
    ) -> bool:
        """Store a copy of a file's bytes in both places."""
        kept = super().put_file(key, path, suffix=suffix, made=made)
        if kept:
            self._send(key)
        return kept

    def file_digest(self, key: str) -> StoredFile | None:
        """Digest, suffix and size of the file stored under a key; None if there is none."""
        found = super().file_digest(key)
        return super().file_digest(key) if found is None and self._fetch(key) else found

    def evict(self, key: str) -> bool:
        """Remove an entry, e.g. one that nobody can decode, in both places."""
        self._remove(self._files.entry(key))
        return super().evict(key)

    # ------------------------------------------------------------------------------------------------ files

    def _place(self, path: str) -> str:
        """Return where a file of the folder is in the object store."""
        return f"{self._base}/{os.path.relpath(path, self._files.root).replace(os.sep, '/')}"

    def _is_far(self, key: str) -> bool:
        found: list[bool] = []
        with self._trying(f"cannot look for {key} in"):
            found.append(self._far.exists(self._place(self._files.entry(key))))
        return any(found)

    def _fetch(self, key: str) -> bool:
        """Bring an entry and what it needs to the folder; returns whether that is there now."""
        entry = self._files.entry(key)
        with self._trying(f"cannot read {key} from"):
            self._bring(entry)
            for name, size in read_head(entry, key).objects:
                if not has_objects(self._files, [(name, size)]):
                    self._bring(self._files.object(name))
        return super().contains(key)

    def _send(self, key: str) -> None:
        with self._trying(f"cannot write {key} to"):
            entry = self._files.entry(key)
            paths = [self._files.object(name) for name, _ in read_head(entry, key).objects]
            for path in (*paths, entry):
                place = self._place(path)
                if path != entry and self._far.exists(place):
                    continue
                if not self._renames:
                    self._far.put_file(path, place)
                    continue
                part = f"{self._base}/tmp/{secrets.token_hex(8)}"
                self._far.makedirs(place.rpartition("/")[0], exist_ok=True)
                self._far.makedirs(f"{self._base}/tmp", exist_ok=True)
                self._far.put_file(path, part)
                self._far.mv(part, place)

    def _remove(self, *paths: str) -> None:
        for path in paths:
            with self._trying("cannot remove from"):
                self._far.rm_file(self._place(path))

    def _bring(self, path: str) -> None:
        with self._far.open(self._place(path), "rb") as source:
            self._wrote(self._files.write(path, iter(lambda: source.read(_CHUNK), b"")))

    @contextmanager
    def _trying(self, what: str) -> Iterator[None]:
        """Let the folder alone count where the object store fails, and report that once; a missing file is no failure."""
        try:
            yield
        except FileNotFoundError:
            pass
        except Exception as problem:  # every kind of object store has errors of its own
            if not self._told_failure:
                self._told_failure = True
                self.report(f"{what} {self._base}: {type(problem).__name__}: {problem}")


def _opened(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        far, base = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError, OSError) as error:
        raise StoreError(
            f"cannot be opened: {error}", where=url, advice="docs/deploy.md says what it may be"
        ) from error
    return far, base.rstrip("/")
