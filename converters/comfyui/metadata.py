"""The texts that ComfyUI hides in pictures and videos, read without decoding a pixel."""

from __future__ import annotations

import json
from typing import BinaryIO

from graphflow.document.media.containers import READERS
from graphflow.errors import ConversionError

from .jsontext import loads

KEYS = ("prompt", "workflow", "parameters")
"""The texts of interest; ``parameters`` is another program's."""


def texts_of(stream: BinaryIO, container: str, where: str) -> dict[str, str]:
    """Return the texts named in ``KEYS``.

    Args:
        stream: The file, at its start.
        container: What ``container_of`` said.
        where: What to call the file in errors.

    Raises:
        ConversionError: The file is damaged, or its metadata is larger than the limits.
    """
    try:
        found = READERS[container](stream)
    except EOFError as error:
        raise ConversionError(
            f"the {container} file ends too early", where=where, advice="take an undamaged copy of the file"
        ) from error
    except ValueError as error:
        raise ConversionError(
            f"the metadata of this {container} file cannot be read: {error}",
            where=where,
            advice="take an undamaged copy of the file, or the workflow as .json",
        ) from error
    return _unpacked(found)


def _unpacked(found: dict[str, str]) -> dict[str, str]:
    """Return the texts by lower-case key; some savers put all of them into one comment as JSON."""
    texts = {key.lower(): text for key, text in found.items()}
    for key in ("comment", "description", "usercomment", "imagedescription"):
        text = texts.get(key, "").strip("\x00 \n\t")
        if not text.startswith("{") or "prompt" in texts or "workflow" in texts:
            continue
        try:
            inner = loads(text, key)
        except ConversionError:
            continue
        for name in ("prompt", "workflow"):
            value = inner.get(name) if isinstance(inner, dict) else None
            if isinstance(value, str):
                texts[name] = value
            elif isinstance(value, dict):
                texts[name] = json.dumps(value)
        if "prompt" not in texts and "workflow" not in texts:
            texts["workflow"] = text
    written = next((text for key, text in texts.items() if "Steps: " in text and "Sampler: " in text), None)
    if written is not None:
        texts.setdefault("parameters", written)
    return {key: text for key, text in texts.items() if key in KEYS}
