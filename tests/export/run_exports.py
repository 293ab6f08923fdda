"""Exports workflows, runs the scripts without graphflow, and compares their pictures with the engine's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from graphflow import workflows
from graphflow.converters.diffusers_script import export
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.store import MemoryTier, Store
from tests.fresh import run_script

BOUND = 1 / 255
"""Most that a channel of a pixel may differ, of 1."""


@dataclass(frozen=True)
class Row:
    """One comparison: the largest difference of a pixel, or what went wrong."""

    name: str
    error: float
    bound: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the pictures agree."""
        return not self.note and self.error <= self.bound


def make_session(folder: Path, **settings: Any) -> Session:
    """A session on the CPU in float32 that stores nothing on disk."""
    chosen = Settings(device="cpu", dtype="float32", cache_dir=folder / "cache", offline=True, **settings)
    return Session(chosen, store=Store(MemoryTier(2**30)))


def compare(name: str, workflow: Any, folder: Path, work: Path, *, session: Session | None = None, **options: Any) -> Row:
    """Run a workflow and its script, and compare the PNG files."""
    session = session or make_session(work)
    made = export(workflow, session=session, folder=folder, **options)
    script = work / f"{name}.py"
    script.write_text(made.code, "utf-8")
    from_script, from_engine = work / "script", work / "engine"
    done = run_script(script, ["--out", str(from_script)])
    if done.code:
        return Row(name, float("inf"), BOUND, f"the script fails: {done.output[-2000:]}")
    result = session.run(workflow, out=from_engine, folder=folder)
    return difference(name, [*result.paths], pictures(from_script))


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, in the order in which they were written."""
    return sorted(folder.iterdir(), key=lambda path: (path.stat().st_mtime_ns, path.name))


def difference(name: str, ours: list[Path], theirs: list[Path]) -> Row:
    """Compare pictures pairwise."""
    if len(ours) != len(theirs):
        return Row(name, float("inf"), BOUND, f"{len(ours)} pictures of the engine, {len(theirs)} of the script")
    worst = 0.0
    for one, other in zip(ours, theirs, strict=True):
        a, b = (np.asarray(Image.open(path).convert("RGBA"), dtype=np.float32) for path in (one, other))
        if a.shape != b.shape:
            return Row(name, float("inf"), BOUND, f"{one.name} has the shape {a.shape}, {other.name} {b.shape}")
        worst = max(worst, float(np.abs(a - b).max()) / 255)
    return Row(name, worst, BOUND)


def run_exports(names: Iterable[str] | None = None) -> list[Row]:
    """Compare packaged workflows; all of them by default."""
    rows = []
    for name in names or workflows.names():
        with TemporaryDirectory() as work:
            path = workflows.path(name)
            from graphflow.builder import Workflow

            rows.append(compare(name, Workflow.load(path), path.parent, Path(work)))
    return rows


if __name__ == "__main__":
    import sys

    for row in run_exports(sys.argv[1:] or None):
        print(f"{row.name:30} {row.error:.6f} {'ok' if row.ok else 'DIFFERS'} {row.note}", flush=True)
