"""Exports workflows, runs the scripts without graphflow, and compares their pictures with the engine's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from graphflow.converters.diffusers_script import export
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.store import MemoryTier, Store
from tests.fresh import Fresh

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


def compare(
    fresh: Fresh,
    name: str,
    workflow: Any,
    work: Path,
    *,
    folder: Path | None = None,
    session: Session | None = None,
    bound: float = BOUND,
    **options: Any,
) -> Row:
    """Run a workflow and its script, and compare the files."""
    session = session or make_session(work)
    made = export(workflow, session=session, folder=folder, **options)
    script = work / f"{name}.py"
    script.write_text(made.code, "utf-8")
    from_script, from_engine = work / "script", work / "engine"
    done = fresh.run(script, "--out", from_script)
    if done.code:
        return Row(name, float("inf"), bound, f"the script fails: {done.out[-500:]}{done.err[-2000:]}")
    result = session.run(workflow, out=from_engine, folder=folder)
    return difference(name, result.paths, pictures(from_script), bound)


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, in the order in which they were written."""
    return sorted(folder.iterdir(), key=lambda path: (path.stat().st_mtime_ns, path.name))


def difference(name: str, ours: list[Path], theirs: list[Path], bound: float = BOUND) -> Row:
    """Compare pictures pairwise."""
    if len(ours) != len(theirs):
        return Row(name, float("inf"), bound, f"{len(ours)} pictures of the engine, {len(theirs)} of the script")
    worst = 0.0
    for one, other in zip(ours, theirs, strict=True):
        a, b = (np.asarray(Image.open(path).convert("RGBA"), dtype=np.float32) for path in (one, other))
        if a.shape != b.shape:
            return Row(name, float("inf"), bound, f"{one.name} has the shape {a.shape}, {other.name} {b.shape}")
        worst = max(worst, float(np.abs(a - b).max()) / 255)
    return Row(name, worst, bound)
