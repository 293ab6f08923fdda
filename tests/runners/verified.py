"""Runs every packaged workflow in a process of its own and verifies what it wrote in another: the bytes are the same.

Parts: the workflows. Random weights stand in for models that are not packaged. A quarter of an hour on two cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from graphflow import workflows
from graphflow.document.document import read
from tests.end_to_end.two_lanes import SMALL
from tests.runners.parts import Given, Results, Runner, main


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Run each workflow with few steps, small, and verify its files; counts what is said of them."""
    for part in parts:
        known = read(workflows.path(part)).inputs
        values = [word for name in SMALL if name in known for word in ("-i", f"{name}={SMALL[name]}")]
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            place = ["--device", "cpu", "--cache-dir", str(folder / "cache")]
            ran = _called("run", part, "--stand-in", "--quiet", "--out", str(folder / "out"), *place, *values)
            told = _called("verify", "--json", *place, *ran.stdout.splitlines())
        yield part, _counted(told.stdout) if ran.returncode == 0 else {"error": ran.stderr[-500:]}


def _called(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "graphflow.cli", *arguments], capture_output=True, text=True)


def _counted(told: str) -> dict[str, int]:
    compared = [item["compared"] or {"same_bytes": False} for item in json.loads(told)]
    return dict(Counter("same" if item["same_bytes"] else "other" for item in compared))


def _write(results: Results, given: Given) -> None:
    files = sum(result["same"] for result in results.values())
    print(f"{files} files of {len(results)} workflows are the same in another process, byte by byte")


RUNNER = Runner(
    name="verified",
    about=__doc__,
    parts=tuple(workflows.names()),
    run=run,
    ok=lambda result: result is not None and [*result] == ["same"],
    line=str,
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
