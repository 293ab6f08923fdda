"""Telling ComfyUI's files from native ones: another program's JSON, or a picture or video without a native workflow."""

from __future__ import annotations

from typing import BinaryIO

from graphflow.basics import jsontools
from graphflow.document.embedded import PNG_SIGNATURE, WORKFLOW_KEYWORD, png_texts
from graphflow.errors import ConversionError, GraphflowError
from graphflow.limits import LIMITS

from .metadata import container_of
from .sources import Found, load

_BLANK = b"\xef\xbb\xbf \t\r\n"
_FOREIGN_TEXTS = frozenset({"prompt", "workflow", "parameters"})


def recognise(stream: BinaryIO, name: str) -> Found | None:
    """Return the workflow in a ComfyUI file, or None where it is none: a native one, or nothing that is known.

    Args:
        stream: The file, at its start.
        name: What the user called it, for errors.

    Raises:
        ConversionError: It is a picture or video of another program that holds no ComfyUI workflow.
    """
    head = stream.read(16)
    stream.seek(0)
    if head.startswith(PNG_SIGNATURE):
        texts = {keyword.lower() for keyword, _ in png_texts(stream)}
        return None if WORKFLOW_KEYWORD in texts or texts.isdisjoint(_FOREIGN_TEXTS) else _loaded(stream, name)
    if head[:4].lstrip(_BLANK)[:1] in (b"{", b"["):
        try:
            parsed = jsontools.loads(stream.read(LIMITS.document_bytes + 1), source="workflow")
            return None if not isinstance(parsed, dict) or "graphflow" in parsed else load(parsed, prefer="prompt")
        except GraphflowError:
            return None  # told by whoever reads it as a native workflow
    return None if container_of(stream) == "json" else _loaded(stream, name)


def _loaded(stream: BinaryIO, name: str) -> Found:
    try:
        return load(stream, prefer="prompt")
    except ConversionError as error:
        where = (error.where or "").replace("the bytes", name, 1)
        raise ConversionError(error.message, where=where or name, advice=error.advice) from error
