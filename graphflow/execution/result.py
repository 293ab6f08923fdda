"""What a run gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphflow.execution.output import WrittenFile
from graphflow.planning.steps import Plan


@dataclass(frozen=True)
class Result:
    """What a run gave. Its values are shared with the session's store: copy a tensor before writing to it.

    Attributes:
        outputs: The document's named outputs.
        values: Further values that were asked for with ``targets``, by address.
        files: Files that effect nodes wrote or found up to date, by node.
        seconds: Time of each node that ran.
        cached: Tier of each node whose value came from the store.
        withheld: By effect node: how many items the safety filter took out.
        plan: The last plan.
        run_id: The run, as its events have it.
    """

    outputs: Mapping[str, Any]
    values: Mapping[str, Any]
    files: Mapping[str, list[WrittenFile]]
    seconds: Mapping[str, float]
    cached: Mapping[str, str]
    withheld: Mapping[str, int]
    plan: Plan
    run_id: str

    def __repr__(self) -> str:
        paths = [str(path) for path in self.paths]
        return (
            f"Result(outputs={list(self.outputs)}, paths={paths}, ran={list(self.seconds)}, cached={list(self.cached)})"
        )

    @property
    def paths(self) -> list[Path]:
        """All files, in the order of the effect nodes."""
        return [file.path for files in self.files.values() for file in files]
