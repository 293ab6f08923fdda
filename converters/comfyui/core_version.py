"""Which version of ComfyUI a file was saved with, and what was otherwise before it."""

from __future__ import annotations

import re
from typing import Any

Version = tuple[int, ...]

STEP_NOISE: Version = (0, 7, 0)
"""From here on (December 2025) samplers start the noise of their steps beside the seed, before at the seed itself."""

BEFORE_STEP_NOISE = {"cnr_id": "comfy-core", "ver": "0.6.0"}
"""How a node says that it was made for the last version before."""

_NUMBER = re.compile(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")


def core_version(*documents: Any) -> Version:
    """Return the newest version that a core node in parsed JSON says it is of; empty where none does.

    Nodes keep the version that they were put into the graph with, so the newest is the nearest to that of the file.
    """
    newest: Version = ()
    left = list(documents)
    while left:
        value = left.pop()
        if isinstance(value, list):
            left.extend(value)
        elif isinstance(value, dict):
            left.extend(value.values())
            version = value.get("ver")
            if value.get("cnr_id") == "comfy-core" and isinstance(version, str):
                found = _NUMBER.match(version)
                newest = max(newest, tuple(int(part or 0) for part in found.groups()) if found else ())
    return newest
