"""Damages quantised weight files five thousand times, opens them, and writes the table in docs/soak.md.

An error of the file or the right weights are good; wrong weights or a traceback are not. Parts: each a thousand files.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.comfyui.survey import with_tables
from tests.loading.damaged import VERDICTS, outcome
from tests.runners.parts import ROOT, Given, Results, Runner, main

SOAK = ROOT / "docs" / "soak.md"
COUNT = 1_000


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Open the files of each part and count what became of them."""
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            table: dict[str, Counter[str]] = {}
            bad: list[Any] = []
            for number in range(int(part) * COUNT, (int(part) + 1) * COUNT):
                found = outcome(number, Path(folder))
                table.setdefault(found.mutation, Counter())[found.verdict] += 1
                if found.verdict not in ("error", "right"):
                    bad.append({"number": number, **asdict(found)})
            yield part, {"table": table, "bad": bad}


def _write(results: Results, given: Given) -> None:
    counts: dict[str, Counter[str]] = {}
    for result in results.values():
        for mutation, row in result["table"].items():
            counts.setdefault(mutation, Counter()).update(row)
    lines = [f"{'damage':<20}" + "".join(f"{verdict:>9}" for verdict in VERDICTS)]
    for name, row in [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]:
        lines.append(f"{name:<20}" + "".join(f"{row[verdict]:>9,}" for verdict in VERDICTS))
    text = "\n".join(lines)
    print(text)
    SOAK.write_text(with_tables(SOAK.read_text("utf-8"), {"damage": f"```\n{text}\n```"}), "utf-8")


RUNNER = Runner(
    name="damage",
    about=__doc__,
    parts=tuple(map(str, range(5))),
    run=run,
    ok=lambda result: not result["bad"],
    line=lambda result: f"{len(result['bad'])} of {COUNT:,} not good: {result['bad'][:5]}",
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
