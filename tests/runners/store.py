"""Kills runs, and exchanges and damages what they stored; writes the table in docs/soak.md; ten minutes.

After each the same workflow runs twice. Not good are a file that differs from the undisturbed run's (a wrong picture), one
that stands half written under its name, and a run that fails (a lasting error: nothing mends it but the user).
Parts: fifty times one of them.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.comfyui.survey import with_tables
from tests.properties.stored import FAULTS, digest, run, run_killed, spoil
from tests.runners.parts import ROOT, Given, Results, Runner, main

SOAK = ROOT / "docs" / "soak.md"
COUNT = 50
KINDS = ("kills", "exchanges", "damages")
PARTS = tuple(f"{kind}/{number}" for kind in KINDS for number in range(10))
EXCHANGES = ("swapped", "copied over")
COLUMNS = ("times", "wrong pictures", "half written", "lasting errors")


def run_parts(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Disturb runs and count what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        expected = run(whole)
        started = time.perf_counter()
        run(Path(folder) / "again")
        lasts = time.perf_counter() - started
        for part in parts:
            kind, _, number = part.partition("/")
            counts: Counter[str] = Counter()
            bad: list[str] = []
            for place in range(int(number) * COUNT, (int(number) + 1) * COUNT):
                dice = random.Random(f"{kind}/{place}")
                mine, out = Path(folder) / "mine", Path(folder) / "out"
                for old in (mine, out):
                    shutil.rmtree(old, ignore_errors=True)
                counts["times"] += 1
                if kind == "kills":
                    counts["ended before"] += run_killed(mine, out, dice.uniform(0.0, 1.1) * lasts)
                else:
                    shutil.copytree(whole, mine)
                    names = EXCHANGES if kind == "exchanges" else [name for name in FAULTS if name not in EXCHANGES]
                    some = range(dice.choice((1, 1, 2, 6)))
                    spoil(
                        mine,
                        [
                            (dice.choice(names), dice.random() < 0.5, dice.randrange(99), dice.randrange(99))
                            for _ in some
                        ],
                    )
                left = {path.name: digest(path) for path in out.glob("[!.]*")}
                found = ["half written"] if not left.items() <= expected.items() else []
                try:
                    found += ["wrong pictures"] * any(run(mine) != expected for _ in range(2))
                except Exception:
                    found.append("lasting errors")
                    bad.append(traceback.format_exc())
                counts.update(found)
                bad += [f"{part}, number {place}: {what}" for what in found]
            yield part, {"counts": counts, "bad": bad}


def table(results: Results) -> str:
    """Return the counts as text."""
    lines = [f"{'':<12}" + "".join(f"{head:>16}" for head in COLUMNS)]
    for kind in KINDS:
        parts = [result for part, result in results.items() if part.startswith(kind)]
        counts = sum((Counter(result["counts"]) for result in parts), Counter[str]())
        lines.append(f"{kind:<12}" + "".join(f"{counts[column]:>16,}" for column in COLUMNS))
        if counts["ended before"]:
            lines.append(f"({counts['ended before']} of them came after the run had ended)")
    return "\n".join(lines)


def _write(results: Results, given: Given) -> None:
    found = table(results)
    print(found)
    SOAK.write_text(with_tables(SOAK.read_text("utf-8"), {"store": f"```\n{found}\n```"}), "utf-8")


RUNNER = Runner(
    name="store",
    about=__doc__,
    parts=PARTS,
    run=run_parts,
    ok=lambda result: not result["bad"],
    line=lambda result: f"{len(result['bad'])} of {COUNT} not good\n" + "\n".join(result["bad"][:5]),
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
