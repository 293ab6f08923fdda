"""Exports the packaged workflows, runs their scripts without graphflow, and compares the pictures with the engine's.

Parts: names of packaged workflows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from graphflow import workflows
from tests.export.adapters import make_adapters
from tests.export.comparing import Row, compare, make_session
from tests.export.models import make_models
from tests.export.packaged import SMALL, packaged
from tests.fresh import Fresh
from tests.runners.parts import Given, Runner, main


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Compare workflows, all with the same models."""
    with Fresh() as fresh, TemporaryDirectory() as made:
        models = make_adapters(make_models(Path(made)))
        for name in parts:
            with TemporaryDirectory() as work:
                session = make_session(Path(work), models=({"path": models},))
                folder = workflows.path(name).parent
                row = compare(fresh, name, packaged(name), Path(work), folder=folder, session=session)
            yield name, asdict(row)


def _line(result: Any) -> str:
    return f"{result['error']:.6f} {'ok' if Row(**result).ok else 'DIFFERS'} {result['note']}".rstrip()


RUNNER = Runner(
    name="exports",
    about=__doc__,
    parts=SMALL,
    run=run,
    ok=lambda result: Row(**result).ok,
    line=_line,
    report=lambda results, given: None,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
