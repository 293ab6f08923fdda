"""Finds the files that a document names: models in the library, user files in the allowed folders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, cast

from graphflow.basics.marks import marks_of
from graphflow.basics.paths import user_path
from graphflow.basics.pictures import KINDS, read_picture
from graphflow.basics.regular import open_regular
from graphflow.basics.wording import nearest, shorten
from graphflow.document.published import Published, source_of
from graphflow.errors import InvalidInputError, LimitError, ModelNotFoundError
from graphflow.limits import LIMITS
from graphflow.modelfiles.description import DENOISERS
from graphflow.modelfiles.families import installed
from graphflow.planning.files import FileUse, add_up
from graphflow.spec.decorator import FileNeed

if TYPE_CHECKING:
    from graphflow.library.library import Library
    from graphflow.modelfiles.description import Description, Kind
    from graphflow.planning.stand_ins import StandIns


class SessionResolver:
    """Resolves names for planning.

    Args:
        library: Gives the model library, when a model is first asked for.
        folder: The document's folder.
        input_folder: A folder for input files, beside the document's.
        sources: Where models are published, as far as the document says.
        stand_ins: What stands in for models that are not there; None where nothing does.
    """

    def __init__(
        self,
        library: Callable[[], Library],
        folder: Path | None,
        input_folder: Path | None,
        sources: Iterable[Published] = (),
        stand_ins: StandIns | None = None,
    ) -> None:
        self._library = library
        self._sources = tuple(sources)
        self._stand_ins = stand_ins
        self._folders = tuple(part for part in (folder, input_folder) if part is not None)

    def resolve(self, need: FileNeed, *, trusted: bool) -> FileUse:
        """Find a file; see :class:`graphflow.planning.files.FileResolver`."""
        try:
            return self._model(need, trusted) if need.model else self._user_file(need, trusted)
        except ModelNotFoundError as error:
            if need.optional:
                return FileUse(need, notice=f"{error.message} ({error.advice})" if error.advice else error.message)
            raise self._told(error, need) from error

    def _told(self, error: ModelNotFoundError, need: FileNeed) -> ModelNotFoundError:
        """Say where a missing model is published and which file it belongs into, where that is known."""
        source = source_of(need.name, self._sources) if need.model else None
        if source is None:
            return error
        place = self._library().place_for(need.name, cast("Kind", need.kind), source.url)
        advice = f"`graphflow fetch` with this workflow downloads {source.url}" + (f" to {place}" if place else "")
        return ModelNotFoundError(error.message, where=error.where, advice=advice)

    def _model(self, need: FileNeed, trusted: bool) -> FileUse:
        found = self._described(need, trusted)
        parts = {name: part for name, part in found.parts.items() if not need.parts or name in need.parts}
        sizes = {name: part.bytes_by_dtype for name, part in parts.items()}
        files = {file for part in parts.values() for file in part.files} or set(found.files)
        if found.path is not None and found.path.is_dir():
            files.update(file for kind in _CONFIGS for file in found.path.glob(kind))
        return FileUse(
            need,
            path=str(found.path) if found.path is not None else need.name,
            fingerprint=found.fingerprint,
            weight_bytes=add_up(sizes.values()) if sizes else dict(found.bytes_by_dtype),
            part_bytes=sizes,
            parts=tuple(found.parts),
            family=found.family or "",
            notice="; ".join(found.warnings),
            files=tuple(sorted((_name_in(found.path, file), str(file)) for file in files)),
            stands_in=found.stands_in,
            footprint=_footprint(found),
        )

    def _described(self, need: FileNeed, trusted: bool) -> Description:
        """Describe a model, or what stands in for one that is not there."""
        library, kind = self._library(), cast("Kind", need.kind)
        try:
            found = library.describe(need.name, kind, trusted=trusted)
            if self._stand_ins is None or (found.resolved and not found.stands_in):
                return found
            missing = ModelNotFoundError("is not in the Hub's cache", where=repr(need.name))
        except ModelNotFoundError as error:
            if self._stand_ins is None or need.optional:
                raise
            missing = error
        standing = self._stand_ins.find(need)
        if standing is None:
            raise ModelNotFoundError(
                f"{missing.message}, and nothing can stand in for it: no family that runs here publishes a"
                f" {need.kind.replace('_', ' ')} of such a name, none that it is linked to has one, or it would work inside"
                " a model that is there",
                where=missing.where,
                advice=missing.advice,
            )
        library.stand_in(standing)
        return standing

    def _user_file(self, need: FileNeed, trusted: bool) -> FileUse:
        try:
            path = self._find(need.name, trusted)
            size = path.stat().st_size
            if size > LIMITS.media_bytes:
                raise LimitError(f"the file has {size:,} bytes, more than {LIMITS.media_bytes:,}", where=need.name)
            state = (str(path), size, path.stat().st_mtime_ns)
            if need.kind in KINDS:
                _require_picture(*state, need.kind, need.name)
            mark, signed = _marks(*state)
            notice = (
                f"{path.name} has content credentials (C2PA), which what is made of it cannot keep" if signed else ""
            )
            return FileUse(need, path=str(path), fingerprint=_content(*state), notice=notice, mark=mark)
        except OSError as error:  # the system refuses the name, e.g. since it is too long, or the file
            reason = (error.strerror or str(error)).lower()
            raise InvalidInputError(
                f"{shorten(need.name)} cannot be read: {reason}", advice="name another file"
            ) from error

    def _find(self, name: str, trusted: bool) -> Path:
        if "\0" in name:
            raise InvalidInputError("a file name has no NUL character", where=repr(name))
        if trusted and user_path(name).is_file():
            return user_path(name).resolve()
        outside = InvalidInputError(
            f"{name!r} leads out of the document's folder and the input folder",
            advice="put the file there, name the folder with --input-dir, or give the path on the command line with -i or --set",
        )
        if PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute() or PureWindowsPath(name).drive:
            raise outside
        for folder in self._folders:
            candidate = (folder / name).resolve()
            if not candidate.is_relative_to(folder.resolve()):
                raise outside
            if candidate.is_file():
                return candidate
        places = ", ".join(str(folder) for folder in self._folders) or "no folder (the workflow is no file)"
        near = nearest(name, [other for other in _names(self._folders) if _is_document(other) == _is_document(name)])
        advice = (
            f"did you mean {near!r}?"
            if near
            else "put it there, name the folder with --input-dir, or give a path with -i or --set"
        )
        raise InvalidInputError(f"there is no file {name!r} in {places}", advice=advice)


_CONFIGS = ("*.json", "*/*.json", "*/*.txt")
"""What a Diffusers folder has beside weights: configurations and vocabularies."""


def _footprint(found: Description) -> tuple[float, float] | None:
    family = installed().get(found.family or "")
    network = next((part for name, part in found.parts.items() if name in DENOISERS), None)
    if family is None or family.footprint is None or network is None:
        return None
    try:
        text, one = (family.footprint.held(network.config, samples) for samples in (0, 1))
    except (KeyError, TypeError):  # its file does not tell its sizes
        return None
    return text, (one - text) / family.latent.downscale**2


def _is_document(name: str) -> bool:
    """Tell workflows, of which input folders hold many with names like their pictures', from what nodes read."""
    return name.lower().endswith(".json")


def _names(folders: tuple[Path, ...]) -> Iterator[str]:
    for folder in folders:
        if folder.is_dir():
            for index, path in enumerate(sorted(folder.iterdir())):
                if index > 2000:
                    break
                yield path.name


def _name_in(model: Path | None, file: Path) -> str:
    """Return what a file is called in a model: the path below its folder, with ``/``, or its name."""
    inside = model is not None and model.is_dir() and file.is_relative_to(model)
    return file.relative_to(model).as_posix() if model is not None and inside else file.name


@lru_cache(maxsize=512)
def _marks(path: str, size: int, mtime_ns: int) -> tuple[str, bool]:
    """Return the marks of a file; remembered while its size and time stay."""
    return marks_of(Path(path))


@lru_cache(maxsize=512)
def _content(path: str, size: int, mtime_ns: int) -> str:
    """Return the SHA-256 of a file; remembered while its size and time stay."""
    with open_regular(Path(path)) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=512)
def _require_picture(path: str, size: int, mtime_ns: int, kind: str, name: str) -> None:
    """Refuse a file whose header is none of a picture within the limits; remembered as above where it is one."""
    with Path(path).open("rb") as stream:
        read_picture(kind, stream, name, lambda picture: None, lambda message: None, decode=False)
