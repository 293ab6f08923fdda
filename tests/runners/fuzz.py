"""Mutates real ComfyUI workflows, imports them, and writes the table in docs/soak.md; three minutes.

A prompt or a clear error is good; a traceback, a prompt that is no JSON, or more than two seconds of processor time is not.
Parts: each a thousand inputs of the seed.
"""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tests.comfyui.fuzz import SLOW_SECONDS
from tests.comfyui.fuzz import run as run_inputs
from tests.comfyui.survey import with_tables
from tests.runners.parts import ROOT, Given, Results, Runner, main

SOAK = ROOT / "docs" / "soak.md"
COUNT = 1_000
COLUMNS = ("prompt", "error", "crash", "bad prompt", "slow")


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Import the inputs of each part and count what they gave."""
    for part in parts:
        table: dict[str, Counter[str]] = {}
        bad: list[Any] = []
        slowest, start, first = 0.0, time.perf_counter(), int(part) * COUNT
        for number, outcome in enumerate(run_inputs(0, COUNT, first=first), first):
            row = table.setdefault(outcome.mutation, Counter())
            row[outcome.verdict] += 1
            row["slow"] += outcome.seconds > SLOW_SECONDS
            slowest = max(slowest, outcome.seconds)
            if outcome.verdict not in ("prompt", "error") or outcome.seconds > SLOW_SECONDS:
                bad.append({"number": number, **asdict(outcome)})
        yield (
            part,
            {
                "table": table,
                "bad": bad,
                "slowest": slowest,
                "seconds": time.perf_counter() - start,
                "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            },
        )


def table(results: Results) -> str:
    """Return the counts of all parts as text."""
    counts: dict[str, Counter[str]] = {}
    for result in results.values():
        for mutation, row in result["table"].items():
            counts.setdefault(mutation, Counter()).update(row)
    lines = [f"{'mutation':<16}" + "".join(f"{column:>12}" for column in COLUMNS)]
    for name, row in [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]:
        lines.append(f"{name:<16}" + "".join(f"{row[column]:>12,}" for column in COLUMNS))
    slowest, memory = (max(result[key] for result in results.values()) for key in ("slowest", "mebibytes"))
    seconds = sum(result["seconds"] for result in results.values())
    lines.append(f"slowest {slowest:.2f} s, peak memory {memory:,.0f} MiB, {seconds:.0f} s in all")
    return "\n".join(lines)


def _line(result: Any) -> str:
    told = [
        f"input {bad['number']}, {bad['mutation']}: {bad['verdict']} after {bad['seconds']:.2f} s\n{bad['detail']}"
        for bad in result["bad"][:10]
    ]
    return "\n".join([f"{len(result['bad'])} of {COUNT:,} not good, slowest {result['slowest']:.2f} s", *told])


def _write(results: Results, given: Given) -> None:
    found = table(results)
    print(found)
    SOAK.write_text(with_tables(SOAK.read_text("utf-8"), {"fuzz": f"```\n{found}\n```"}), "utf-8")


RUNNER = Runner(
    name="fuzz",
    about=__doc__,
    parts=tuple(map(str, range(10))),
    run=run,
    ok=lambda result: not result["bad"],
    line=_line,
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
