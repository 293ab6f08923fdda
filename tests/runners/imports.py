"""Imports the recorded ComfyUI workflows, runs them, and compares with what ComfyUI gave; writes its table in docs/comfyui.md.

Parts: `GROUP/WORKFLOW`; the groups are nets, text, sigmas, features and samplers. Twenty minutes on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tests.comfyui.recorded import GROUPS, Row, cases, make_session, run_recorded
from tests.comfyui.survey import DOCS, with_tables
from tests.parity.weights import write_models
from tests.runners.parity import with_models
from tests.runners.parts import Given, Results, Runner, main


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Compare workflows with one session; each gives the rows of its arrays and pictures."""
    torch.set_num_threads(1)
    write_models(given.models)
    with TemporaryDirectory() as scratch:
        session = make_session(given.models, Path(scratch))
        for part in parts:
            group, _, case = part.partition("/")
            rows = run_recorded(group, models=given.models, cases_wanted=[case], session=session)
            yield part, [asdict(row) for row in rows]


def row_table(rows: Sequence[tuple[str, Row]]) -> str:
    """Return rows by group as Markdown."""
    lines = [
        "| recordings | workflows | arrays and pictures | within bounds | largest error of its bound |",
        "|---|---|---|---|---|",
    ]
    for group in GROUPS:
        found = [row for name, row in rows if name == group]
        if found:
            worst = max(found, key=lambda row: row.error / row.bound if row.bound else float("inf"))
            cells = (
                group, len({row.case for row in found}), len(found), sum(row.ok for row in found),
                f"{worst.error:.1e} of {worst.bound:.1e} ({worst.case}, {worst.tap})",
            )  # fmt: skip
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _line(result: Any) -> str:
    rows = [Row(**row) for row in result]
    if not rows:
        return "nothing of it is recorded"
    worst = max(rows, key=lambda row: row.error / row.bound if row.bound else float("inf"))
    good = "ok" if all(row.ok for row in rows) else "OUT OF BOUNDS"
    return f"{len(rows)} arrays and pictures, {worst.error:.1e} of {worst.bound:.1e} ({worst.tap}) {good}"


def _write(results: Results, given: Given) -> None:
    rows = [(part.partition("/")[0], Row(**row)) for part, result in results.items() for row in result]
    DOCS.write_text(with_tables(DOCS.read_text("utf-8"), {"recorded": row_table(rows)}), "utf-8")
    print(f"wrote the table of recordings in docs/{DOCS.name}")


RUNNER = Runner(
    name="imports",
    about=__doc__,
    parts=tuple(f"{group}/{case}" for group in GROUPS for case in cases(group)),
    run=run,
    ok=lambda result: all(Row(**row).ok for row in result),
    line=_line,
    report=_write,
    options=with_models,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
