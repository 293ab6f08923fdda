"""Opens what names a workflow: a packaged name, a native file, a file of ComfyUI, parsed JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from graphflow import workflows
from graphflow.basics.arguments import require
from graphflow.basics.regular import open_regular
from graphflow.basics.wording import nearest, shorten
from graphflow.document.document import Document, parse, read
from graphflow.document.embedded import WORKFLOW_KEYWORD, carried_beside, embedded_texts
from graphflow.document.format_1 import Keep
from graphflow.document.media.containers import ENDINGS
from graphflow.document.opening import Opened, Source
from graphflow.errors import ConversionError, InvalidInputError, LimitError
from graphflow.limits import LIMITS

if TYPE_CHECKING:
    from .comfyui.report import Report


_INFOTEXT_BYTES = 2**20


def open_workflow(source: Source, keep: Keep | None = None, *, tell: Callable[[Report], None] | None = None) -> Opened:
    """Open a workflow by path, by packaged name, or from parsed JSON; ComfyUI's become native ones.

    Args:
        source: The path, the name, or the JSON.
        keep: What counts in a document of format 1 where nodes and defaults differ; None refuses it.
        tell: Gets the report of an import, in place of the notices.

    Raises:
        InvalidInputError: There is no such workflow, or it cannot be read.
        ConversionError: A ComfyUI file has nodes that are not supported.
        WorkflowError: With every problem of its shape.
    """
    if isinstance(source, Mapping):
        for key in source:
            require(key, str, "workflow", "a JSON object, whose keys are texts")
        return from_foreign(source, "workflow", tell) or Opened(parse(dict(source), keep=keep), "workflow")
    name = os.fspath(source)
    path = Path(name)
    try:
        path = path if path.is_file() else _packaged(name)
    except OSError as error:  # too long for a name
        text = f"no such file can be: {(error.strerror or str(error)).lower()}"
        raise InvalidInputError(text, where=shorten(name), advice="name another file") from error
    foreign = None
    with suppress(OSError), open_regular(path) as stream:  # what cannot be opened is told by `read`
        if not carried_beside(path, stream):
            foreign = from_foreign(stream, path.name, tell)
    if foreign is None:
        return Opened(read(path, keep=keep), name, path.parent)
    return Opened(foreign.document, name, path.parent, notices=foreign.notices)


def from_foreign(
    data: BinaryIO | Mapping[str, Any], name: str, tell: Callable[[Report], None] | None = None
) -> Opened | None:
    """Return the native form of a file of ComfyUI or of infotext, or None where it is neither.

    Args:
        data: The file, at its start, or parsed JSON.
        name: What the user called it.
        tell: Gets the report, in place of the notices.

    Raises:
        ConversionError: It is a ComfyUI file that cannot be read, or that has nodes that are not supported.
    """
    from .comfyui import to_native, to_prompt
    from .comfyui.recognise import recognise

    if not isinstance(data, Mapping) and (native := from_infotext(data, name)) is not None:
        return native
    found = recognise(data, name)
    if found is None:
        return None
    try:
        flattened = to_prompt(found)
    except ConversionError as error:
        where = (error.where or "").replace("the data", name, 1).replace("the bytes", name, 1)
        raise ConversionError(error.message, where=where or name, advice=error.advice) from error
    result = to_native(flattened, name=Path(name).stem)
    document: Document = result.require()
    if tell is not None:
        tell(result.report)
        return Opened(document, name)
    return Opened(document, name, notices=result.report.remarks)


def from_infotext(data: BinaryIO, name: str) -> Opened | None:
    """Return a workflow that does what another program wrote in words into a picture, or into a text beside it; else None.

    Args:
        data: The file, at its start, to which it is rewound.
        name: What the user called it.

    Raises:
        InvalidInputError: It is a text of neither kind.
        WorkflowError: A value is out of the range that a workflow may have.
    """
    from graphflow.document import infotext

    from .infotext import to_document

    try:
        texts = embedded_texts(data)
    except ValueError:
        return None  # told by whoever reads it as something else
    if texts is None and name.lower().endswith(".txt"):
        texts = {"parameters": data.read(_INFOTEXT_BYTES).decode("utf-8", "replace")}
        data.seek(0)
    if not texts or texts.keys() & {WORKFLOW_KEYWORD, "prompt", "workflow"}:
        return None
    words = infotext.in_texts(texts)
    if len(words) > LIMITS.text:
        raise LimitError(f"the settings in words have more than {LIMITS.text:,} characters", where=name)
    info = infotext.parse(words)
    if info is None:
        if name.lower().endswith(".txt") and not texts["parameters"].lstrip("\ufeff \t\r\n").startswith(("{", "[")):
            advice = "settings in words end with a line that begins with “Steps: ”"
            raise InvalidInputError("this text is neither JSON nor settings in words", where=name, advice=advice)
        return None
    return Opened(to_document(info, Path(name).stem), name)


def _packaged(name: str) -> Path:
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
    raise InvalidInputError(
        "there is no such file, and no packaged workflow of this name",
        where=name,
        advice=f"did you mean {near!r}?" if near else "`graphflow workflows` lists the packaged ones",
    )


def _beside(path: Path) -> list[str]:
    """Return the workflow files of the folder that a wrong path names."""
    try:
        return sorted(item.name for item in path.parent.iterdir() if item.suffix.lower() in ENDINGS)
    except OSError:
        return []
