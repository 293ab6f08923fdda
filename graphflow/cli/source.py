"""Where the workflow of a command line comes from, and the values that it sets."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from graphflow.basics.regular import open_regular
from graphflow.errors import InvalidInputError, LimitError, WorkflowError

if TYPE_CHECKING:
    from graphflow.document.document import Document
    from graphflow.planning.expand import Expanded, Text
    from graphflow.session import Session

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Loaded:
    """A workflow as it was found.

    Attributes:
        document: The document.
        name: What the command line called it.
        folder: The folder in which its file names resolve; None for standard input.
    """

    document: Document
    name: str
    folder: Path | None


def load(name: str) -> Loaded:
    """Read a workflow by path, by packaged name, or from standard input; ComfyUI's files become native ones.

    Raises:
        InvalidInputError: There is no such workflow, or it cannot be read.
        ConversionError: A ComfyUI file has nodes that are not supported.
        WorkflowError: With every problem of its shape.
    """
    from graphflow.document import document as workflow

    if name == STANDARD_INPUT:
        return Loaded(_from_standard_input(), "standard input", None)
    path = Path(name)
    if not path.is_file():
        path = _packaged(name)
    foreign = _foreign(path)
    return Loaded(workflow.read(path) if foreign is None else foreign, name, path.parent)


@contextmanager
def named(loaded: Loaded) -> Iterator[None]:
    """Say which workflow it is in problems that do not."""
    try:
        yield
    except WorkflowError as error:
        if error.where is not None:
            raise
        raise WorkflowError(error.problems, source=loaded.name) from error


def _packaged(name: str) -> Path:
    from graphflow import workflows
    from graphflow.basics.wording import nearest

    known = workflows.names()
    plain = name.removesuffix(".json")
    if plain in known:
        found: Path = workflows.path(plain)
        return found
    if Path(name).is_dir():
        raise InvalidInputError("this is a folder, not a workflow", where=name)
    # A path or a file name most likely means a file.
    beside = _beside(Path(name)) if "/" in name or plain != name else []
    near = nearest(Path(name).name, beside) or nearest(plain, known)
    packaged = "packaged workflows are " + ", ".join(known)
    raise InvalidInputError(
        "there is no such file, and no packaged workflow of this name",
        where=name,
        advice=f"did you mean {near!r}?" if near else packaged,
    )


def _foreign(path: Path) -> Document | None:
    """Return the native form of a ComfyUI file, or None where it is none; what cannot be read is told elsewhere."""
    from graphflow.cli.imported import read_foreign

    try:
        stream = open_regular(path)
    except OSError:
        return None
    with stream:
        return read_foreign(stream, path.name)


def _beside(path: Path) -> list[str]:
    """Return the workflow files of the folder that a wrong path names."""
    try:
        return sorted(item.name for item in path.parent.iterdir() if item.suffix in (".json", ".png"))
    except OSError:
        return []


def _from_standard_input() -> Document:
    from graphflow.basics import jsontools
    from graphflow.cli.imported import read_foreign
    from graphflow.document import document as workflow
    from graphflow.document.embedded import embedded_document
    from graphflow.limits import LIMITS

    data = sys.stdin.buffer.read(LIMITS.media_bytes + 1)
    if len(data) > LIMITS.media_bytes:
        raise LimitError(f"there are more than {LIMITS.media_bytes:,} bytes", where="standard input")
    foreign = read_foreign(BytesIO(data), "standard input")
    if foreign is not None:
        return foreign
    text = embedded_document(data, source="standard input")
    return workflow.parse(
        jsontools.loads(data if text is None else text, source="standard input"), source="standard input"
    )


def shown_targets(session: Session, expanded: Expanded) -> list[str] | None:
    """Return what a command without ``--target`` computes: everything that writes, and the outputs that text can show.

    A tensor among the outputs is of no use on a command line, and reading a stored one would cost the import of torch.
    None, which is all outputs, where nothing writes, and where the document has problems to be told.
    """
    from graphflow.planning.validate import validate
    from graphflow.values.types import value_type_names

    checked = validate(expanded.flat, session.registry)
    effects = [node.id for node in checked.nodes.values() if node.spec.effect]
    if checked.problems or not effects:
        return None
    unseen = set(value_type_names())
    shown = []
    for address in expanded.flat.outputs.values():
        source = checked.source(address)
        kind = checked.types[source] if source is not None else None
        if kind is not None and (kind.item or kind).name not in unseen:
            shown.append(address)
    return [*effects, *shown]


def assignments(given: Iterable[str] | None, option: str, form: str) -> dict[str, Text]:
    """Split ``name=value`` texts.

    Args:
        given: The texts.
        option: The option that they came with.
        form: What one looks like.

    Raises:
        InvalidInputError: A text has no ``=`` or no name, or a name is there twice.
    """
    from graphflow.planning.expand import Text

    result: dict[str, Text] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InvalidInputError(f"{text!r} is no assignment", where=option, advice=f"write {option} {form}")
        if name in result:
            raise InvalidInputError(f"{name!r} is given twice", where=option, advice="remove one")
        result[name] = Text(value)
    return result


def input_values(given: Iterable[str] | None) -> dict[str, Text]:
    """Return what ``-i`` gives, by name of the exposed input."""
    return assignments(given, "-i", "NAME=VALUE, e.g. -i seed=7")


def overrides(given: Iterable[str] | None) -> dict[str, Text]:
    """Return what ``--set`` gives, by ``node.parameter``."""
    return assignments(given, "--set", "NODE.PARAM=VALUE, e.g. --set sample.steps=30")
