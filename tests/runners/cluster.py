"""Runs every packaged workflow on one lane and on two workers of a cluster, a thread each, and kills workers at random moments.

Parts: ``workflows/NAME`` compares files byte for byte; random weights stand in for models that are not packaged.
``kills/NUMBER`` runs a small workflow while workers are killed, and compares what it gives. An hour on two cores.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from graphflow import workflows
from graphflow.cluster import connection
from tests.cluster.killing import unlike_after_kills, unlike_files
from tests.end_to_end.two_lanes import drawn
from tests.runners.parts import Given, Results, Runner, main

KILLS = 300
EACH = 10


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Run parts on one cluster."""
    torch.set_num_threads(1)
    connection.connect("local")
    try:
        for part in parts:
            kind, _, name = part.partition("/")
            yield part, _compared(name) if kind == "workflows" else _killed(int(name))
    finally:
        connection.disconnect()


def _compared(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made:
        one, _ = drawn(name, Path(made, "1"), "cpu")
        two, used = drawn(name, Path(made, "2"), None, "local*2")
    return {"files": len(one), "used": len(used), "kills": 0, "unlike": sorted(unlike_files(one, two))}


def _killed(number: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made:
        unlike = unlike_after_kills(EACH, random.Random(number), Path(made))
    return {"files": EACH, "used": 2, "kills": EACH, "unlike": sorted(unlike)}


def _write(results: Results, given: Given) -> None:
    files = sum(result["files"] for result in results.values())
    kills = sum(result["kills"] for result in results.values())
    print(f"{files} files are the same on one lane and on a cluster, {kills} of whose workers were killed")


RUNNER = Runner(
    name="cluster",
    about=__doc__,
    parts=(
        *(f"workflows/{name}" for name in workflows.names()),
        *(f"kills/{number}" for number in range(KILLS // EACH)),
    ),
    run=run,
    ok=lambda result: result["files"] > 0 and not result["unlike"],
    line=lambda result: f"{result['files']} files, {result['kills']} kills, unlike {result['unlike']}",
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
