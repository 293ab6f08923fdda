"""The texts that a file carries: the workflow, the record of how it was made, and a ComfyUI prompt where it came from one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from graphflow.basics.eight_bits import Array, content_digest
from graphflow.document.embedded import RECORD_KEYWORD, WORKFLOW_KEYWORD

OWN = {WORKFLOW_KEYWORD: "workflow", RECORD_KEYWORD: "record"}
"""Keywords of our own texts, and what :meth:`graphflow.runtime.Runtime.carried` calls them."""


WARNING = "Warning"
"""Keyword of what everybody who looks at a picture should know; picture viewers show it."""


def texts_of(carried: Mapping[str, Any], content: Iterable[Array], number: int = 0) -> dict[str, str]:
    """Return the texts by keyword, with the digest of what the file shows in the record; a ComfyUI workflow in ASCII.

    Args:
        carried: What the node may embed, see :meth:`graphflow.runtime.Runtime.carried`.
        content: What the file shows before it is encoded: its pixels, frames or samples.
        number: Which one of those that its node writes it is.
    """
    if "record" in carried:
        carried = {**carried, "record": {**carried["record"], "number": number, "content": content_digest(content)}}
    texts = {keyword: _json(carried[key]) for keyword, key in OWN.items() if key in carried}
    if warning := carried.get("record", {}).get("warning"):
        texts[WARNING] = str(warning)
    foreign = sorted(carried.get("comfyui", {}).items())
    return texts | {keyword: _json(value, ascii_only=True) for keyword, value in foreign}


def comment_of(texts: Mapping[str, str]) -> str:
    """Return our own texts as one JSON object in ASCII, for formats with one place for a text; empty where there are none."""
    own = {keyword: json.loads(text) for keyword, text in texts.items() if keyword in OWN}
    return _json(own, ascii_only=True) if own else ""


def sidecar(texts: Mapping[str, str]) -> bytes:
    """Return our own texts for a file beside the one that has no room for them."""
    told = {keyword: json.loads(text) for keyword, text in texts.items() if keyword != WARNING}
    return (json.dumps(told, indent=2) + "\n").encode()


def _json(value: Any, *, ascii_only: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
