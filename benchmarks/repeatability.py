"""Whether packaged workflows draw the same in another process, and what the number of threads changes.

``python -m benchmarks.repeatability [STEPS [NAME…]]`` prints a table; each column is made in a process of its own.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from graphflow import workflows
from graphflow.errors import WorkflowError
from graphflow.reproduce.content import Compared, compare

COLUMNS = {"once more": 2, "one thread": 1}
"""What is compared with a run in two threads, and its number of threads."""


def draw(out: Path, threads: int, steps: int, names: Sequence[str]) -> None:
    """Run every packaged workflow whose models are here, without a store of results on disk."""
    import torch

    from graphflow.session import Session
    from graphflow.settings import load_settings
    from graphflow.store import MemoryTier, Store

    torch.set_num_threads(threads)
    for name in names or sorted(workflows.names()):
        with Session(load_settings(), store=Store(MemoryTier(2**31))) as session, suppress(WorkflowError):
            given = {"steps": steps} if steps and "steps" in session.expand(name).document.inputs else {}
            session.run(name, given, out=out / name)


def worst(one: Path, other: Path) -> Compared:
    """Return the largest difference between the pictures of two folders."""
    names = sorted(path.name for path in one.iterdir() if path.name[0] != ".")
    found = [compare(one / name, other / name) for name in names]
    return max(found, key=lambda item: (item.worst, not item.same_bytes))


def main(steps: int = 0, names: Sequence[str] = ()) -> None:
    """Print the table; 0 steps are those of the workflows."""
    with tempfile.TemporaryDirectory() as work:
        for name, threads in {"first": 2, **COLUMNS}.items():
            command = [sys.executable, "-m", "benchmarks.repeatability", "--draw", f"{work}/{name}", str(threads)]
            subprocess.run([*command, str(steps), *names], check=True)
        print("| workflow |", " | ".join(COLUMNS), "|\n|---|" + "---|" * len(COLUMNS))
        least = dict.fromkeys(COLUMNS, math.inf)
        for folder in sorted(Path(work, "first").iterdir()):
            cells = {name: worst(folder, Path(work, name, folder.name)) for name in COLUMNS}
            least = {name: min(least[name], cell.psnr) for name, cell in cells.items()}
            print(f"| {folder.name} |", " | ".join(map(str, cells.values())), "|")
        print(f"\nLeast PSNR: {', '.join(f'{name} {value:.1f} dB' for name, value in least.items())}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--draw"]:
        draw(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
    else:
        main(*map(int, sys.argv[1:2]), names=sys.argv[2:])
