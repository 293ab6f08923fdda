"""A packaged workflow on two workers of a cluster, of which one is killed now and then."""

from __future__ import annotations

import itertools
import random
import threading
from pathlib import Path

import psutil

from graphflow.errors import NodeError
from graphflow.session import Session
from graphflow.settings import Settings

WORKFLOW = "batch_variations"


def unlike_after_kills(kills: int, moments: random.Random, folder: Path) -> set[str]:
    """Run a workflow again and again until so many workers were killed; returns files that are not those of one lane, and errors."""
    unlike: set[str] = set()
    killed = 0
    with _session(folder / "1", None) as one, _session(folder / "2", "local*2") as two:
        _files(two, 0, folder / "warm")
        for number in itertools.count(1):
            if killed >= kills:
                return unlike
            if number > 3 * kills:
                return {*unlike, f"{killed} workers were killed in {number} runs"}
            expected = _files(one, number, folder / f"expected{number}")
            found: list[int] = []
            timer = threading.Timer(moments.uniform(0.0, 1.5), _kill, (moments, found))
            timer.start()
            try:
                unlike |= unlike_files(expected, _files(two, number, folder / f"found{number}"))
            except NodeError as error:
                unlike.add(str(error))
            timer.join()
            killed += len(found)
    return unlike


def unlike_files(one: dict[str, bytes], other: dict[str, bytes]) -> set[str]:
    """Return the names of files that are not in both with the same bytes."""
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def _session(folder: Path, cluster: str | None) -> Session:
    return Session(Settings.model_validate({"models": (), "cache_dir": folder, "device": "cpu", "cluster": cluster}))


def _files(session: Session, seed: int, out: Path) -> dict[str, bytes]:
    result = session.run(WORKFLOW, {"steps": 4, "seed": seed}, out=out)
    return {file.name: file.read_bytes() for file in result.paths}


def _kill(moments: random.Random, killed: list[int]) -> None:
    """Kill a worker, where there is one, and note it."""
    workers = [process for process in psutil.Process().children(recursive=True) if "ray::Actor" in process.name()]
    if workers:
        worker = moments.choice(workers)
        worker.kill()
        killed.append(worker.pid)
