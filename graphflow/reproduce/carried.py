"""What a file tells of how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from graphflow.basics.jsontools import read_table
from graphflow.basics.marks import marks_of
from graphflow.basics.regular import open_regular
from graphflow.document.embedded import (
    GRID_KEYWORD,
    RECORD_KEYWORD,
    SIDECAR,
    WORKFLOW_KEYWORD,
    embedded_texts,
    texts_beside,
)
from graphflow.document.infotext import in_texts
from graphflow.errors import InvalidInputError


@dataclass(frozen=True)
class Carried:
    """What a file tells.

    Attributes:
        path: The file.
        texts: Its texts by keyword, those of the file beside it too.
        mark: The digital source type that it says; empty where it says none.
        signed: Whether it has content credentials (C2PA).
    """

    path: Path
    texts: Mapping[str, str]
    mark: str
    signed: bool

    @cached_property
    def workflow(self) -> dict[str, Any]:
        """The workflow; empty where there is none."""
        return read_table(self.texts.get(WORKFLOW_KEYWORD))

    @cached_property
    def record(self) -> dict[str, Any]:
        """The record; empty where there is none."""
        return read_table(self.texts.get(RECORD_KEYWORD))

    @cached_property
    def pictures(self) -> tuple[Path, ...]:
        """The pictures that it is a grid of; empty where it is none."""
        names: Any = None
        with suppress(ValueError, RecursionError):
            names = json.loads(self.texts.get(GRID_KEYWORD, ""))
        named = [Path(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
        inside = [name for name in named if not name.is_absolute() and ".." not in name.parts]
        return tuple(self.path.parent / name for name in inside)

    @property
    def infotext(self) -> str:
        """What the web interface of AUTOMATIC1111 and its kin wrote; empty where they wrote nothing."""
        return in_texts(self.texts)


def told_of(path: Path) -> Path:
    """Return the file that a path means: a JSON file beside another one, for which that had no room, means that one."""
    owner = path.with_suffix("") if path.suffix == SIDECAR else path
    return owner if owner.is_file() else path


def carried(path: Path) -> Carried:
    """Return what a file tells, or the file that it lies beside.

    Raises:
        InvalidInputError: It cannot be read, is damaged, or is of a kind that carries nothing.
    """
    path = told_of(path)
    try:
        with open_regular(path) as stream:
            texts = embedded_texts(stream)
        if WORKFLOW_KEYWORD not in (texts or {}) and (beside := texts_beside(path)):
            texts = (texts or {}) | beside
        mark, signed = marks_of(path)
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise InvalidInputError(reason, where=str(path)) from error
    except ValueError as error:
        raise InvalidInputError(
            f"its metadata cannot be read: {error}", where=str(path), advice="take an undamaged copy of the file"
        ) from error
    if texts is None:
        raise InvalidInputError(
            "this is no picture, sound, video or file of latents, and nothing beside it tells how it was made",
            where=str(path),
            advice="name a file that a run wrote; workflows are shown by `graphflow workflows NAME` and `graphflow plan`",
        )
    return Carried(path, texts, mark, signed)
