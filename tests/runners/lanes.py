"""Runs every packaged workflow on one lane, on two and on three, a thread each, and compares the files byte for byte.

Parts: the workflows. Random weights stand in for models that are not packaged. Ten minutes on two cores.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from graphflow import workflows
from tests.end_to_end.two_lanes import drawn
from tests.runners.parts import Given, Results, Runner, main


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Run each workflow on each number of lanes."""
    torch.set_num_threads(1)
    for part in parts:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            one, _ = drawn(part, folder / "1", "cpu")
            others = {count: drawn(part, folder / str(count), f"cpu*{count}") for count in (2, 3)}
        unlike = {count: sorted({*one, *files} - _same(one, files)) for count, (files, _) in others.items()}
        used = {count: len(lanes) for count, (_, lanes) in others.items()}
        yield part, {"files": len(one), "used": used, "unlike": {k: v for k, v in unlike.items() if v}}


def _same(one: dict[str, bytes], other: dict[str, bytes]) -> set[str]:
    return {name for name in one if one[name] == other.get(name)}


def _write(results: Results, given: Given) -> None:
    files = sum(result["files"] for result in results.values())
    print(f"{files} files of {len(results)} workflows are the same on one lane, two and three")


RUNNER = Runner(
    name="lanes",
    about=__doc__,
    parts=tuple(workflows.names()),
    run=run,
    ok=lambda result: result["files"] > 0 and not result["unlike"],
    line=lambda result: f"{result['files']} files, lanes used {result['used']}, unlike {result['unlike']}",
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
