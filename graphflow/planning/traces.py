"""What each node's key was made of when a workflow ran last, so that a plan can say what has changed since."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphflow.basics import atomic
from graphflow.basics.jsontools import digest
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
            data = json.loads(self._file(expanded).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def write(self, expanded: Expanded, trace: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep a trace; where that fails, only explanations are lost."""
        if len(expanded.flat.nodes) > _NODES:
            return
        with contextlib.suppress(OSError):
            atomic.write_bytes(self._file(expanded), json.dumps(trace, default=repr).encode())

    def _file(self, expanded: Expanded) -> Path:
        name = digest([expanded.document.name, sorted(expanded.flat.nodes)])
        return self._folder / f"{name[:32]}.json"
