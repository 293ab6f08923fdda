"""Ready-made workflows, as JSON files. Nothing here imports torch."""

from __future__ import annotations

from pathlib import Path

from graphflow.basics.wording import nearest
from graphflow.errors import InvalidInputError

_FOLDER = Path(__file__).resolve().parent


def names() -> tuple[str, ...]:
    """Return the names of the ready-made workflows, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def folder() -> Path:
    """Return the folder of the ready-made workflows, in which they find their pictures."""
    return _FOLDER


def picture(name: str) -> Path:
    """Return the picture of what a ready-made workflow makes."""
    return path(name).parent / "previews" / f"{name}.jpg"


def path(name: str) -> Path:
    """Return the file of a ready-made workflow.

    Raises:
        InvalidInputError: There is none of this name; the advice names the nearest.
    """
    known = names()
    if name not in known:
        near = nearest(name, known)
        advice = f"did you mean {near!r}?" if near else "`graphflow workflows` lists them"
        raise InvalidInputError(f"there is no ready-made workflow {name!r}", advice=advice)
    return _FOLDER / f"{name}.json"
