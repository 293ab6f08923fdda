"""Telling ComfyUI's files from native ones: another program's JSON, or a picture or video without a native workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from graphflow.basics import jsontools
from graphflow.document.embedded import WORKFLOW_KEYWORD, embedded_texts, is_png
from graphflow.document.media.containers import container_of
from graphflow.errors import ConversionError, GraphflowError
from graphflow.limits import LIMITS

from .sources import Found, load

_BLANK = b"\xef\xbb\xbf \t\r\n"
_FOREIGN_TEXTS = frozenset({"prompt", "workflow", "parameters"})


def recognise(data: BinaryIO | Mapping[str, Any], name: str) -> Found | None:
    """Return the workflow in a ComfyUI file, or None where it is none: a native one, or nothing that is known.

    Args:
        data: The file, at its start, or parsed JSON.
        name: What the user called it, for errors.

    Raises:
        ConversionError: It is a picture or video of another program that holds no ComfyUI workflow.
    """
    if isinstance(data, Mapping):
        return _from_json(data)
    head = data.read(16)
    data.seek(0)
    if head[:4].lstrip(_BLANK)[:1] in (b"{", b"["):
        try:
            return _from_json(jsontools.loads(data.read(LIMITS.document_bytes + 1), source="workflow"))
        except GraphflowError:
            return None  # told by whoever reads it as a native workflow
    try:
        texts = {keyword.lower() for keyword in embedded_texts(data) or ()}
    except ValueError:
        return _loaded(data, name)  # which says what is damaged
    mute = is_png(head) and texts.isdisjoint(_FOREIGN_TEXTS)  # told by whoever reads it as a native workflow
    return None if WORKFLOW_KEYWORD in texts or mute or container_of(data) == "json" else _loaded(data, name)


def _from_json(parsed: Any) -> Found | None:
    if not isinstance(parsed, Mapping) or "graphflow" in parsed:
        return None
    try:
        return load(parsed, prefer="prompt")
    except ConversionError:
        return None  # told by whoever reads it as a native workflow


def _loaded(stream: BinaryIO, name: str) -> Found:
    try:
        return load(stream, prefer="prompt")
    except ConversionError as error:
        where = (error.where or "").replace("the bytes", name, 1)
        raise ConversionError(error.message, where=where or name, advice=error.advice) from error
