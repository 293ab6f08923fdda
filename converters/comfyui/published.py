"""The models that a ComfyUI file says where to get: ``properties.models`` of its nodes, and ``models`` of the file."""

from __future__ import annotations

from typing import Any

from graphflow.document.published import Published, read_entry

_MOST = 1_000


def published_models(document: Any) -> tuple[Published, ...]:
    """Return what the nodes of a file say, those of subgraphs included, each once."""
    found: dict[Published, None] = {}
    pending = [document]
    while pending and len(found) < _MOST:
        part = pending.pop()
        if isinstance(part, dict):
            listed = part.get("models")
            for entry in listed if isinstance(listed, list) else ():
                if (model := read_entry(entry)) is not None:
                    found[model] = None
            pending.extend(reversed(part.values()))
        elif isinstance(part, list):
            pending.extend(reversed(part))
    return tuple(found)
