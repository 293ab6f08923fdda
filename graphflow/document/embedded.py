"""Texts that pictures and other files carry: reading the workflow back out, with the standard library only."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from graphflow.basics.regular import open_regular
from graphflow.document.media import png
from graphflow.document.media.containers import READERS, container_of
from graphflow.errors import LimitError, Problem, WorkflowError
from graphflow.limits import LIMITS

PNG_SIGNATURE = png.SIGNATURE
WORKFLOW_KEYWORD = "graphflow"
RECORD_KEYWORD = "graphflow.record"
GRID_KEYWORD = "graphflow.grid"
"""Where a grid of pictures names these, as JSON: a list of paths from its folder."""
SIDECAR = ".json"
"""What follows the name of a file that has no place for texts, in the name of the file beside it that has them."""


def is_png(data: bytes) -> bool:
    """Whether a file's bytes begin as those of a PNG."""
    return data.startswith(PNG_SIGNATURE)


def embedded_texts(stream: BinaryIO) -> dict[str, str] | None:
    """Return the texts that a picture, a sound, a video or latents carry, by keyword; None for any other file.

    Texts of formats that have but one place for them stand there as one JSON object. Rewinds the stream.

    Raises:
        LimitError: All of them together have more bytes than a document may have.
        ValueError: The metadata is damaged.
    """
    container = container_of(stream)
    if container == "json":
        return None
    try:
        texts = dict(png_texts(stream)) if container == "png" else READERS[container](stream)
    except EOFError as error:
        raise ValueError("the file ends too early") from error
    finally:
        stream.seek(0)
    for key in ("usercomment", "comment"):
        text = texts.get(key, "")
        if text.startswith("{") and f'"{WORKFLOW_KEYWORD}"' in text:
            _within(text.encode(), LIMITS.document_bytes)
            with suppress(ValueError, RecursionError):
                texts |= {name: json.dumps(value, ensure_ascii=False) for name, value in json.loads(text).items()}
    return texts


def texts_beside(path: Path) -> dict[str, str]:
    """Return the texts, by keyword, of the file beside one that has no place for them; empty where there is none."""
    with suppress(OSError, ValueError, RecursionError):
        with open_regular(path.with_name(path.name + SIDECAR)) as stream:
            data = stream.read(LIMITS.document_bytes + 1)
        found = json.loads(data) if len(data) <= LIMITS.document_bytes else None
        if isinstance(found, dict) and isinstance(found.get(WORKFLOW_KEYWORD), dict):
            return {keyword: json.dumps(value, ensure_ascii=False) for keyword, value in found.items()}
    return {}


def carried_beside(path: Path, stream: BinaryIO) -> dict[str, str]:
    """Return :func:`texts_beside` of a file that carries no workflow itself and is none; rewinds its stream."""
    if path.suffix.lower() == SIDECAR or not (beside := texts_beside(path)):
        return {}
    with suppress(ValueError):
        if WORKFLOW_KEYWORD in (embedded_texts(stream) or {}):
            return {}
    return beside


def embedded_document(data: bytes | BinaryIO, *, source: str) -> tuple[str, str | None] | None:
    """Return the workflow that a file carries and its record, or None where it is none that carries texts.

    A stream is rewound then.

    Raises:
        WorkflowError: The file carries no graphflow workflow.
    """
    stream = BytesIO(data) if isinstance(data, bytes) else data
    try:
        texts = embedded_texts(stream)
    except ValueError as error:
        problem = Problem("metadata", f"it cannot be read: {error}", "take an undamaged copy of the file")
        raise WorkflowError([problem], source=source) from error
    if texts is None:
        return None
    if WORKFLOW_KEYWORD in texts:
        return texts[WORKFLOW_KEYWORD], texts.get(RECORD_KEYWORD)
    advice = (
        "it carries a ComfyUI workflow: the command line runs it as it is, and `graphflow import` makes it native"
        if texts.keys() & {"workflow", "prompt"}
        else "files that graphflow saved carry one, unless a program removed it"
    )
    raise WorkflowError([Problem("metadata", "the file carries no graphflow workflow", advice)], source=source)


def png_texts(data: bytes | BinaryIO) -> Iterator[tuple[str, str]]:
    """Yield (keyword, text) of the tEXt, zTXt and iTXt chunks of a PNG; a damaged chunk ends the walk.

    Nothing else of the file is read.

    Raises:
        LimitError: All of them together have more bytes than a document may have.
    """
    room = LIMITS.document_bytes
    stream = BytesIO(data) if isinstance(data, bytes) else data
    stream.seek(len(PNG_SIGNATURE))
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            stream.seek(length + 4, 1)
            continue
        body, check = _within(stream.read(min(length, room + 1)), room), stream.read(4)
        if len(body) < length or len(check) < 4:
            return
        text = _text(kind, body, room)
        if text is not None:
            room -= len(text[1])
            yield text


def _text(kind: bytes, body: bytes, room: int) -> tuple[str, str] | None:
    keyword, separator, rest = body.partition(b"\0")
    if not separator:
        return None
    name = keyword.decode("latin-1")
    if kind == b"tEXt":
        return name, _within(rest, room).decode("latin-1")
    if kind == b"zTXt":
        plain = _inflate(rest[1:], room)
        return None if plain is None else (name, plain.decode("latin-1"))
    if len(rest) < 2:
        return None
    compressed, body = rest[0], rest[2:]
    _language, first, body = body.partition(b"\0")
    _translated, second, text = body.partition(b"\0")
    if not first or not second:
        return None
    plain = _inflate(text, room) if compressed else _within(text, room)
    return None if plain is None else (name, plain.decode("utf-8", "replace"))


def _inflate(data: bytes, room: int) -> bytes | None:
    """Inflate at most what there is room for; None where the data is damaged."""
    try:
        return _within(zlib.decompressobj().decompress(data, room + 1), room)
    except zlib.error:
        return None


def _within(data: bytes, room: int) -> bytes:
    if len(data) > room:
        raise LimitError(f"the texts of the picture have more than {LIMITS.document_bytes:,} bytes together")
    return data
