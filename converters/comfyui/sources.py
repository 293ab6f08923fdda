"""What a user hands over (a path, bytes, parsed JSON) to one workflow document, whatever it is wrapped in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

from graphflow.basics.regular import open_regular
from graphflow.document.media.containers import container_of
from graphflow.document.published import Published
from graphflow.errors import ConversionError

from .core_version import Version, core_version
from .fields import quote
from .jsontext import TEXT_BYTES, loads
from .metadata import texts_of
from .published import published_models

Source = str | os.PathLike[str] | bytes | BinaryIO | Mapping[str, Any]
"""A path, an open file or its bytes, or parsed JSON."""

_WRAPPERS: tuple[tuple[str | int, ...], ...] = (
    ("prompt",),
    ("output",),
    ("workflow",),
    ("api_graph",),
    ("graph",),
    ("input", "workflow"),
    ("input", "prompt"),
    ("tests", 0, "input", "workflow"),
    ("prompt", 2),
    ("extra_data", "extra_pnginfo", "workflow"),
    ("extra_pnginfo", "workflow"),
    ("workflow_api",),
    ("workflow_json",),
    ("data",),
)
_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Found:
    """A workflow document, not yet checked inside; ``core_version`` is what any part of its file says.

    ``drawn`` is the workflow as the front end draws it, where the file holds that too.
    """

    document: Mapping[str, Any]
    kind: Literal["api", "ui"]
    container: str
    remarks: tuple[str, ...] = ()
    core_version: Version = ()
    models: tuple[Published, ...] = ()
    drawn: Mapping[str, Any] | None = None


def load(source: Source, *, prefer: Literal["prompt", "workflow"]) -> Found:
    """Find the workflow in a source.

    Args:
        source: A path, the bytes of a file, or parsed JSON.
        prefer: Which of the two to take where a file carries both.

    Raises:
        ConversionError: The file cannot be read, or holds no ComfyUI workflow.
    """
    if isinstance(source, Mapping):
        return _found(dict(source), "data", "the data")
    if isinstance(source, bytes):
        source = BytesIO(source)
    if not isinstance(source, str | os.PathLike):
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        return _from_stream(source, size, "the bytes", prefer)
    path = Path(source)
    where = quote(path.name, 120)
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            return _from_stream(stream, size, where, prefer)
    except OSError as error:
        raise ConversionError(
            f"the file cannot be read: {error.strerror or error}", where=where, advice="check the path"
        ) from error
    except ValueError as error:
        raise ConversionError("the path cannot be used", where=where, advice="check the path") from error


def _from_stream(stream: BinaryIO, size: int, where: str, prefer: Literal["prompt", "workflow"]) -> Found:
    container = container_of(stream)
    if not size:
        raise ConversionError("the file is empty", where=where, advice="export the workflow again from ComfyUI")
    if container == "json":
        if size > TEXT_BYTES:
            raise ConversionError(
                f"the file has {size:,} bytes, more than {TEXT_BYTES:,}",
                where=where,
                advice="workflows are far smaller; check the file",
            )
        return _found(loads(stream.read(TEXT_BYTES + 1), where), "json", where)
    texts = texts_of(stream, container, where)
    other: Literal["prompt", "workflow"] = "workflow" if prefer == "prompt" else "prompt"
    failures: list[str] = []
    for key in (prefer, other):
        if key not in texts:
            continue
        try:
            found = _found(loads(texts[key], f"{where} ({key})"), container, f"{where} ({key})")
        except ConversionError as error:
            failures.append(str(error))
            continue
        remarks = [f"read from the {key!r} text in the file"]
        models, drawn = found.models, found.drawn
        if key == prefer and other in texts:
            remarks.append(f"the file carries a {other!r} text too, which is not used")
            named = core_version(*_parsed(texts.get(other, ""), where))
            with suppress(ConversionError):  # a prompt does not say where its models are published
                beside = _found(loads(texts[other], where), container, where)
                models, drawn = models or beside.models, drawn or beside.drawn
        else:
            named = ()
        version = max(found.core_version, named)
        return Found(found.document, found.kind, container, (*remarks, *failures), version, models, drawn)
    if failures:
        raise ConversionError("; ".join(failures), where=where, advice="export the workflow again from ComfyUI")
    if "parameters" in texts:
        raise ConversionError(
            f"this {container} file carries no ComfyUI workflow, but settings in words, as AUTOMATIC1111 and Forge write",
            where=where,
            advice="put them into a workflow by hand",
        )
    raise ConversionError(
        f"this {container} file carries no ComfyUI workflow (editors and web sites remove it)",
        where=where,
        advice="take the original file, or the workflow as .json",
    )


def _found(data: object, container: str, where: str) -> Found:
    """Recognise a document, unwrapping what services and tools put around it."""
    level = [data]
    for depth in range(_DEEPEST + 1):
        following: list[object] = []
        for candidate in level:
            kind = _kind(candidate)
            if kind is not None and isinstance(candidate, Mapping):
                remarks = ("unwrapped",) if depth else ()
                version, models = core_version(data, candidate), published_models(data)
                return Found(candidate, kind, container, remarks, version, models, candidate if kind == "ui" else None)
            following.extend(_inside(candidate, where))
        level = following
    if isinstance(data, dict) and "graphflow" in data:
        raise ConversionError(
            "this is no ComfyUI workflow but a native one", where=where, advice="it runs as it is: graphflow run FILE"
        )
    shape = "a list" if isinstance(data, list) else "a text" if isinstance(data, str) else "a single value"
    if isinstance(data, dict):
        shape = f"an object with {', '.join(quote(key, 20) for key in list(data)[:4]) or 'nothing in it'}"
    raise ConversionError(
        f"this is no ComfyUI workflow: found {shape}",
        where=where,
        advice="a workflow has “nodes” and “links”; an API prompt has nodes with “class_type”",
    )


def _kind(data: object) -> Literal["api", "ui"] | None:
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("nodes"), list) and ("links" in data or "version" in data or "last_node_id" in data):
        return "ui"
    if any(isinstance(node, dict) and "class_type" in node for node in data.values()):
        return "api"
    return None


def _inside(data: object, where: str) -> list[object]:
    if isinstance(data, str):
        return _parsed(data, where)
    if not isinstance(data, dict):
        return []
    found = [value for path in _WRAPPERS if (value := _at(data, path)) is not None]
    if len(data) <= 4:  # one entry of the history: {"<run id>": {"prompt": [number, id, {...}, …]}}
        found.extend(value for value in data.values() if isinstance(value, dict) and "prompt" in value)
    return [value for value in found if isinstance(value, dict | str)]


def _parsed(text: str, where: str) -> list[object]:
    """Return the JSON in a text, if it is any: beside a workflow there may be a prompt in words."""
    try:
        return [loads(text, where)] if text.lstrip()[:1] == "{" else []
    except ConversionError:
        return []


def _at(data: Any, path: tuple[str | int, ...]) -> object:
    for step in path:
        if isinstance(step, int):
            data = data[step] if isinstance(data, list) and len(data) > step else None
        else:
            data = data.get(step) if isinstance(data, dict) else None
    return data
