"""Text that a PNG carries: reading the workflow back out, with the standard library only."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from graphflow.errors import Problem, WorkflowError
from graphflow.limits import LIMITS

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
WORKFLOW_KEYWORD = "graphflow"
RECORD_KEYWORD = "graphflow.record"


def is_png(data: bytes) -> bool:
    """Whether a file's bytes begin as those of a PNG."""
    return data.startswith(PNG_SIGNATURE)


def embedded_document(data: bytes, *, source: str) -> str | None:
    """Return the workflow that a picture carries, or None where ``data`` is no PNG.

    Raises:
        WorkflowError: The PNG carries no graphflow workflow.
    """
    if not is_png(data):
        return None
    texts = dict(png_texts(data))
    if WORKFLOW_KEYWORD in texts:
        return texts[WORKFLOW_KEYWORD]
    advice = (
        "it carries a ComfyUI workflow: the command line runs it as it is, and `graphflow import` makes it native"
        if texts.keys() & {"workflow", "prompt"}
        else "pictures that graphflow saved carry one, unless a program removed it"
    )
    raise WorkflowError([Problem("PNG", "the picture carries no graphflow workflow", advice)], source=source)


def embedded_record(data: bytes) -> str | None:
    """Return the record of how a picture was made, as JSON, or None where it carries none."""
    return dict(png_texts(data)).get(RECORD_KEYWORD) if data.startswith(PNG_SIGNATURE) else None


def png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield (keyword, text) of the tEXt, zTXt and iTXt chunks of a PNG; a damaged chunk ends the walk."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        if len(body) < length or kind == b"IEND":
            return
        position += 12 + length
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            text = _text(kind, body)
            if text is not None:
                yield text


def _text(kind: bytes, body: bytes) -> tuple[str, str] | None:
    keyword, separator, rest = body.partition(b"\0")
    if not separator:
        return None
    name = keyword.decode("latin-1")
    if kind == b"tEXt":
        return name, rest.decode("latin-1")
    if kind == b"zTXt":
        plain = _inflate(rest[1:])
        return None if plain is None else (name, plain.decode("latin-1"))
    if len(rest) < 2:
        return None
    compressed, body = rest[0], rest[2:]
    _language, first, body = body.partition(b"\0")
    _translated, second, text = body.partition(b"\0")
    if not first or not second:
        return None
    plain = _inflate(text) if compressed else text
    return None if plain is None else (name, plain.decode("utf-8", "replace"))


def _inflate(data: bytes) -> bytes | None:
    """Inflate at most what a document may have; None where the data is damaged."""
    try:
        return zlib.decompressobj().decompress(data, LIMITS.document_bytes)
    except zlib.error:
        return None
