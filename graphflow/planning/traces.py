"""What each node's key was made of when a workflow ran last, so that a plan can say what has changed since."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphflow.basics import atomic
from graphflow.basics.jsontools import digest
from graphflow.basics.regular import open_regular
from graphflow.planning.expand import Expanded

_NODES = 5_000
"""Larger workflows leave no trace: reading it would cost more than planning."""


class Traces:
    """One file for each workflow, told apart by name and node ids.

    Args:
        folder: Where they lie; made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, expanded: Expanded) -> Mapping[str, Mapping[str, Any]]:
        """Return the trace of the last run, by node; empty where there is none."""
        if len(expanded.flat.nodes) > _NODES:
            return {}
        try:
            with open_regular(self._file(expanded)) as file:
                data = json.load(file)
        except (OSError, ValueError, RecursionError):
            return {}
        known = data.items() if isinstance(data, dict) else ()
        return {node: trace for node, trace in known if _is_trace(trace)}

    def write(self, expanded: Expanded, trace: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep a trace; where that fails, only explanations are lost."""
        if len(expanded.flat.nodes) > _NODES:
            return
        with contextlib.suppress(OSError):
            atomic.write_bytes(self._file(expanded), json.dumps(trace, default=repr).encode())

    def _file(self, expanded: Expanded) -> Path:
        name = digest([expanded.document.name, sorted(expanded.flat.nodes)])
        return self._folder / f"{name[:32]}.json"


def _is_trace(trace: object) -> bool:
    return isinstance(trace, dict) and all(
        isinstance(trace.get(part), dict) for part in ("params", "files", "numerics")
    )
