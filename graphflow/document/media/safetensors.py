"""Metadata of safetensors files (https://github.com/huggingface/safetensors#format), which saved latents are."""

from __future__ import annotations

import json
from typing import BinaryIO

from .bounded import TEXT_BYTES, Reader


def is_header(head: bytes) -> bool:
    """Whether a file that begins so may be one."""
    return head[8:10] == b'{"' and int.from_bytes(head[:8], "little") <= TEXT_BYTES


def texts(stream: BinaryIO) -> dict[str, str]:
    """Return the texts in the header.

    Raises:
        EOFError: The file ends inside it.
        ValueError: It is damaged or too large.
    """
    reader = Reader(stream)
    length = int.from_bytes(reader.read(8), "little")
    try:
        found = json.loads(reader.read(length)).get("__metadata__", {})
        return {str(key): text for key, text in found.items() if isinstance(text, str)}
    except (RecursionError, AttributeError) as error:
        raise ValueError("the header is damaged") from error
