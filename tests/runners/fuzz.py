"""Reads a hundred thousand changed inputs, and writes the table in docs/soak.md; an hour.

A result or an error of the project's own is good. Not good are any other exception, an error that cannot be encoded, more
than two seconds of processor time, and more than 256 MiB of memory beside what the process held before.
Parts: a fuzzer, and a thousand of its inputs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.comfyui.survey import with_tables
from tests.hostile.fuzzing import FUZZERS, fuzzed
from tests.runners.parts import ROOT, Given, Results, Runner, main

SOAK = ROOT / "docs" / "soak.md"
COUNT = 1_000
THOUSANDS = {"documents": 30, "ComfyUI files": 30, "pictures": 15, "weight files": 15, "store folders": 10}
COLUMNS = ("inputs", "read", "refused", "crash", "unprintable", "slow", "large")
PARTS = tuple(f"{name}/{number:02}" for name, most in THOUSANDS.items() for number in range(most))


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Read the inputs of each part and count what they gave."""
    for part in parts:
        name, _, number = part.rpartition("/")
        counts: Counter[str] = Counter()
        bad: list[Any] = []
        slowest = largest = 0.0
        start, first = time.perf_counter(), int(number) * COUNT
        with tempfile.TemporaryDirectory() as folder:
            for place, (change, outcome) in enumerate(fuzzed(FUZZERS[name](Path(folder)), name, first, COUNT), first):
                counts.update(["inputs", outcome.verdict, *outcome.faults[outcome.verdict in outcome.faults :]])
                slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.mebibytes)
                if outcome.faults:
                    bad.append({"number": place, "change": change, **asdict(outcome)})
        seconds = time.perf_counter() - start
        yield part, {"counts": counts, "bad": bad, "slowest": slowest, "largest": largest, "seconds": seconds}


def table(results: Results) -> str:
    """Return the counts of all parts as text."""
    heads = (*COLUMNS, "slowest, s", "most, MiB")
    lines = [f"{'fuzzer':<16}" + "".join(f"{head:>12}" for head in heads)]
    for name in (*THOUSANDS, "all"):
        parts = [result for part, result in results.items() if name in (part.rpartition("/")[0], "all")]
        counts = sum((Counter(result["counts"]) for result in parts), Counter[str]())
        slowest, largest = (max(result[key] for result in parts) for key in ("slowest", "largest"))
        cells = "".join(f"{counts[column]:>12,}" for column in COLUMNS)
        lines.append(f"{name:<16}{cells}{slowest:>12.2f}{largest:>12.0f}")
    return "\n".join(lines)


def _line(result: Any) -> str:
    told = [
        f"input {bad['number']}, {bad['change']}: {bad['verdict']}, {bad['seconds']:.2f} s, {bad['mebibytes']:.0f} MiB\n"
        f"{bad['detail']}"
        for bad in result["bad"][:5]
    ]
    good = f"{len(result['bad'])} of {COUNT:,} not good, slowest {result['slowest']:.2f} s, most {result['largest']:.0f} MiB"
    return "\n".join([good, *told])


def _write(results: Results, given: Given) -> None:
    found = table(results)
    print(found)
    SOAK.write_text(with_tables(SOAK.read_text("utf-8"), {"fuzz": f"```\n{found}\n```"}), "utf-8")


RUNNER = Runner(
    name="fuzz",
    about=__doc__,
    parts=PARTS,
    run=run,
    ok=lambda result: not result["bad"],
    line=_line,
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
