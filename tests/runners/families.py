"""Imports the recorded workflows of newer families, runs them, and compares with what ComfyUI 0.8.0 gave; writes docs/families_parity.md.

Parts: `FAMILY/CASE`. Two minutes a family on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tests.families.lab import lab
from tests.families.recorded_flows import FAMILIES, bound, cases, make_session, run_case
from tests.runners.parts import ROOT, Given, Results, Runner, main

DOCS = ROOT / "docs" / "families_parity.md"
_HEAD = """# Recorded workflows of newer families

Made by `python -m tests.runners.families`, which `make parity` runs: workflows that ComfyUI 0.8.0 ran in float32 on the
CPU with tiny deterministic weights, imported and run here. An error is the largest difference over the largest value.

| family | kind of case | cases | within bounds | largest error of its bound |
|---|---|---|---|---|
"""


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Compare workflows with one session; each gives its errors by array, or what went wrong."""
    torch.set_num_threads(1)
    with lab() as registry, TemporaryDirectory() as scratch:
        models = Path(scratch) / "models"
        session = make_session(registry, models, Path(scratch) / "cache")
        for part in parts:
            family, _, case = part.partition("/")
            try:
                yield part, {"errors": run_case(session, family, case, models)}
            except Exception as error:  # it is the result of this part
                yield part, {"errors": {}, "problem": f"{type(error).__name__}: {error}"}


def _worst(part: str, result: Any) -> tuple[float, float]:
    """The largest error and how far the case may differ."""
    return max(result["errors"].values(), default=float("inf")), bound(part.partition("/")[2])


def _ok(part: str, result: Any) -> bool:
    worst, most = _worst(part, result)
    return worst <= most


def _write(results: Results, given: Given) -> None:
    rows = []
    for family in FAMILIES:
        kinds = dict.fromkeys(case.split("/")[0] for case in cases(family))
        for kind in kinds:
            found = {part: result for part, result in results.items() if part.split("/")[:2] == [family, kind]}
            worst = max(found, key=lambda part: _worst(part, found[part])[0] / _worst(part, found[part])[1])
            error, most = _worst(worst, found[worst])
            good = sum(_ok(part, result) for part, result in found.items())
            rows.append(
                f"| {family} | {kind} | {len(found)} | {good} | {error:.1e} of {most:.0e} ({worst.split('/', 1)[1]}) |"
            )
    DOCS.write_text(_HEAD + "\n".join(rows) + "\n", "utf-8")
    print(f"wrote {DOCS.relative_to(ROOT)}")


RUNNER = Runner(
    name="families",
    about=__doc__,
    parts=tuple(f"{family}/{case}" for family in FAMILIES for case in cases(family)),
    run=lambda parts, given: ((part, {**result, "part": part}) for part, result in run(parts, given)),
    ok=lambda result: _ok(result["part"], result),
    line=lambda result: result.get("problem") or "{:.1e} of {:.0e}".format(*_worst(result["part"], result)),
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
