"""Writing what effect nodes return: under one folder, never over anything, whole or not at all.

The files of an effect are stored under its artifact key: a manifest, and each file's bytes. The next run finds the
manifest, leaves identical files alone and copies missing ones, so that nothing needs to run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.basics import atomic
from graphflow.basics.jsontools import digest
from graphflow.document.embedded import SIDECAR
from graphflow.errors import InvalidInputError, StoreError
from graphflow.store import Encoded, Store, check_suffix, is_key
from graphflow.values import Files

if TYPE_CHECKING:
    from pydantic import JsonValue

MANIFEST = "files_manifest"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f<>:\"/\\|?*]+")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?\Z")
_MAX_STEM, _MAX_BYTES = 120, 220
"""Characters, and bytes of UTF-8: systems take 255 of these, counter and suffix included."""


@dataclass(frozen=True)
class WrittenFile:
    """A file that stands in the output folder; ``how`` is ``written``, ``copied`` or ``up to date``."""

    path: Path
    how: str


def safe_stem(stem: str) -> str:
    """Return a name that stays in its folder on every system: no separators, ``..``, drive letters, control characters."""
    name = _UNSAFE.sub("_", stem).strip(" .") or "output"
    if _RESERVED.match(name):
        name = f"_{name}"
    return name[:_MAX_STEM].encode("utf-8", "replace")[:_MAX_BYTES].decode("utf-8", "ignore").rstrip(" .")


def safe_parts(stem: str) -> tuple[str, ...]:
    """Return the folders and the name that a wanted name asks for: ``a/b`` is ``b`` in ``a``; none leads upwards."""
    parts = [safe_stem(part) for part in re.split(r"[/\\]", stem) if part.strip(" .")]
    return tuple(parts) or (safe_stem(""),)


def candidates(folder: Path, stem: str, suffix: str) -> Iterator[Path]:
    """Yield ``stem_00001.png``, ``stem_00002.png``, … in the folder, or in one below it that the name asks for.

    Raises:
        InvalidInputError: That folder is a link which leads out.
    """
    *inner, name = safe_parts(stem)
    place = folder.joinpath(*inner)
    if inner and not place.resolve().is_relative_to(folder.resolve()):
        raise InvalidInputError(
            "the folder is a link that leads out of the output folder", where=str(place), advice="use another name"
        )
    counter = 1
    while True:
        yield place / f"{name}_{counter:05d}{suffix}"
        counter += 1


def place(
    folder: Path, stem: str, suffix: str, data: bytes, sha256: str, *, fresh: str, sidecar: bytes = b""
) -> WrittenFile:
    """Put bytes under the first name that is free or holds the same bytes already, and what belongs to them beside it.

    Args:
        folder: The output folder.
        stem: Wanted name; separators lead into folders below.
        suffix: With the dot.
        data: The bytes.
        sha256: Their SHA-256.
        fresh: What to call it where it was not there: ``written`` or ``copied``.
        sidecar: JSON for a file beside it; nothing is no such file.

    Raises:
        InvalidInputError: The folder cannot be written.
    """
    try:
        for path in candidates(folder, stem, suffix):
            if _same(path, len(data), sha256):
                return WrittenFile(path, "up to date")
            beside = path.with_name(path.name + SIDECAR)
            if path.exists() or (sidecar and beside.exists()):
                continue
            if sidecar and not atomic.write_new(beside, sidecar):
                continue
            if atomic.write_new(path, data):
                return WrittenFile(path, fresh)
            if sidecar:  # another process was quicker
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInputError(
            f"cannot write there: {error.strerror or error}", where=str(folder), advice="name another folder with --out"
        ) from error
    raise AssertionError("candidates never end")


def require_folder(folder: Path) -> None:
    """Refuse an output folder in which nothing can be written, before hours are spent on what would go there.

    Nothing is made yet.

    Raises:
        InvalidInputError: It, or the nearest folder above it that exists, is a file or may not be written.
    """
    absolute = folder.absolute()
    nearest = next((part for part in (absolute, *absolute.parents) if os.path.lexists(part)), absolute)
    problem = ""
    if not nearest.is_dir():
        problem = f"{str(nearest)!r} is no folder"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        problem = f"{str(nearest)!r} may not be written"
    for name in absolute.parts[len(nearest.parts) :]:
        problem = problem or _refused_name(nearest / name)
    if problem:
        raise InvalidInputError(
            f"cannot write there: {problem}", where=str(folder), advice="name another folder with --out"
        )


def _refused_name(path: Path) -> str:
    """Say why the system would not make a folder of this name; empty where it would."""
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


def _same(path: Path, size: int, sha256: str) -> bool:
    try:
        if path.stat().st_size != size:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except OSError:  # none is there, or one that cannot be read
        return False


Name = Callable[[str, int | None], str]
"""Fills in the tokens of a wanted name, given which element of a sequence it is."""


def _as_it_is(stem: str, element: int | None) -> str:
    return stem


def write_fresh(
    folder: Path,
    files: Files,
    key: str | None,
    store: Store,
    *,
    element: int | None = None,
    name: Name = _as_it_is,
    made: JsonValue = None,
) -> list[WrittenFile]:
    """Write what an effect returned, and store it under the artifact key.

    Args:
        folder: The output folder.
        files: What it returned.
        key: The artifact key, or None.
        store: Where to store it.
        element: Which element of a sequence it is; then it counts as done even where nothing was left to write.
        name: Fills names in; what is stored keeps the tokens.
        made: Which node of which workflow it is, for the store.
    """
    written: list[WrittenFile] = []
    manifest: list[dict[str, Any]] = []
    for file in files.files:
        sha256 = hashlib.sha256(file.data).hexdigest()
        stem = name(file.stem, element)
        result = place(folder, stem, file.suffix, file.data, sha256, fresh="written", sidecar=file.sidecar)
        written.append(result)
        if key is not None and store.disk is not None:
            store.put_file(_file_key(key, len(manifest)), result.path, suffix=file.suffix, made=made)
            facts = {"stem": file.stem, "suffix": file.suffix, "sha256": sha256, "size": len(file.data)}
            manifest.append(facts | {"sidecar": file.sidecar.decode()})
    if key is not None and (files.files or element is not None) and len(manifest) == len(files.files):
        _put_manifest(store, key, {"files": manifest, "withheld": files.withheld}, made)
    return written


def store_parts(key: str, parts: Sequence[str | None], store: Store) -> None:
    """Store that an effect has done its work, where the files of all its elements are stored under keys of their own."""
    if all(part is not None and store.contains(part) for part in parts):
        _put_manifest(store, key, {"parts": list(parts)})


def keys_behind(keys: Iterable[str], store: Store) -> set[str]:
    """Return those of the keys that are stored on disk, and all others that hold parts of them: elements, files."""
    found: set[str] = set()
    pending = list(keys)
    while pending:
        key = pending.pop()
        told = store.disk.told(key) if store.disk is not None and key not in found else {}
        if not told:
            continue
        found.add(key)
        data = told.get("data")
        if told.get("kind") == MANIFEST and isinstance(data, dict):
            pending += [_file_key(key, index) for index in range(len(data.get("files", ())))]
            data = data.get("parts")
        pending += filter(is_key, data) if isinstance(data, list) else []
    return found


def _put_manifest(store: Store, key: str, data: dict[str, Any], made: JsonValue = None) -> None:
    encoded = Encoded(MANIFEST, data, {})
    nbytes = 256 * len(data.get("files", data.get("parts", ())))
    store.put(key, data, nbytes=nbytes, persist=True, encode=lambda _: encoded, made=made)


def _manifest(encoded: Encoded) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        StoreError: It is none.
    """
    data: Any = encoded.data
    try:
        if encoded.kind == MANIFEST and "parts" in data and all(map(is_key, data["parts"])):
            return {"parts": list(data["parts"])}
        if encoded.kind == MANIFEST:
            files = [
                {"stem": str(file["stem"]), "suffix": check_suffix(file["suffix"])}
                | {"sha256": str(file["sha256"]), "size": int(file["size"]), "sidecar": str(file.get("sidecar", ""))}
                for file in data["files"]
            ]
            return {"files": files, "withheld": int(data["withheld"])}
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"it is no manifest of files: {error!r}") from error
    raise StoreError("it is no manifest of files")


def write_stored(
    folder: Path, key: str, store: Store, scratch: Path, *, element: int | None = None, name: Name = _as_it_is
) -> tuple[list[WrittenFile], int] | None:
    """Bring an effect's stored files to the output folder; None where any of them is gone.

    Returns:
        The files, and how many items the safety filter had withheld.
    """
    manifest: Any = store.get(key, _manifest)
    if manifest is None:
        return None
    parts: dict[str, Any] = {key: manifest}
    if "parts" in manifest:
        parts = {part: store.get(part, _manifest) for part in manifest["parts"]}
    written: list[WrittenFile] = []
    withheld = 0
    for index, (part, listed) in enumerate(parts.items()):
        number = index if "parts" in manifest else element
        brought = None if listed is None else _bring(folder, part, listed, store, scratch, number, name)
        if brought is None:
            return None
        written += brought
        withheld += listed["withheld"]
    return written, withheld


def _bring(
    folder: Path,
    key: str,
    manifest: dict[str, Any],
    store: Store,
    scratch: Path,
    element: int | None,
    name: Name,
) -> list[WrittenFile] | None:
    """Bring the files of one manifest; None where any of them is gone, or it lists none."""
    if "files" not in manifest:
        return None
    written: list[WrittenFile] = []
    for index, entry in enumerate(manifest["files"]):
        stem = name(entry["stem"], element)
        path = next(candidates(folder, stem, entry["suffix"]))
        if _same(path, entry["size"], entry["sha256"]):
            written.append(WrittenFile(path, "up to date"))
            continue
        scratch.mkdir(parents=True, exist_ok=True)
        part = scratch / f"{key}-{index}"
        if not store.copy_file(_file_key(key, index), part):
            return None
        try:
            data = part.read_bytes()
        finally:
            part.unlink(missing_ok=True)
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            store.evict(_file_key(key, index))
            return None
        sidecar = entry["sidecar"].encode()
        written.append(place(folder, stem, entry["suffix"], data, entry["sha256"], fresh="copied", sidecar=sidecar))
    return written


def _file_key(key: str, index: int) -> str:
    return digest([key, "file", index])
