"""Runs every packaged workflow on one lane and on two workers of a cluster, a thread each, and kills workers at random moments.

Parts: ``workflows/NAME`` compares files byte for byte; random weights stand in for models that are not packaged.
``kills/NUMBER`` runs a small workflow while workers are killed, and compares what it gives. An hour on two cores.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

from graphflow import workflows
from graphflow.cluster import connection
from graphflow.errors import NodeError
from graphflow.session import Session
from graphflow.settings import Settings
from tests.end_to_end.two_lanes import drawn
from tests.runners.parts import Given, Results, Runner, main

KILLS = 300
EACH = 10
WORKFLOW = "batch_variations"


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
    return {"files": len(one), "used": len(used), "kills": 0, "unlike": sorted(_unlike(one, two))}


def _killed(number: int) -> dict[str, Any]:
    """Run a workflow again and again on two workers of which one is killed now and then."""
    moments = random.Random(number)
    kills = 0
    unlike: set[str] = set()
    with (
        tempfile.TemporaryDirectory() as made,
        _session(Path(made, "1"), None) as one,
        _session(Path(made, "2"), "local*2") as two,
    ):
        _files(two, 0, Path(made, "warm"))
        while kills < EACH:
            kills += 1
            expected = _files(one, kills, Path(made, f"expected{kills}"))
            timer = threading.Timer(moments.uniform(0.0, 1.5), _kill, (moments,))
            timer.start()
            try:
                unlike |= _unlike(expected, _files(two, kills, Path(made, f"found{kills}")))
            except NodeError as error:
                unlike.add(str(error))
            timer.join()
    return {"files": len(expected), "used": 2, "kills": kills, "unlike": sorted(unlike)}


def _session(folder: Path, cluster: str | None) -> Session:
    return Session(Settings.model_validate({"models": (), "cache_dir": folder, "device": "cpu", "cluster": cluster}))


def _files(session: Session, seed: int, out: Path) -> dict[str, bytes]:
    result = session.run(WORKFLOW, {"steps": 4, "seed": seed}, out=out)
    return {file.name: file.read_bytes() for file in result.paths}


def _kill(moments: random.Random) -> None:
    workers = [process for process in psutil.Process().children(recursive=True) if "ray::Actor" in process.name()]
    if workers:
        moments.choice(workers).kill()


def _unlike(one: dict[str, bytes], other: dict[str, bytes]) -> set[str]:
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


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
