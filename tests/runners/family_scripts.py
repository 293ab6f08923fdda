"""Runs the recorded workflows of flow models as exported scripts, and compares with ComfyUI 0.8.0; writes docs/family_scripts_parity.md.

Parts: `FAMILY/CASE`. Two minutes a family on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tests.families.flow_scripts import FAMILIES, expressible, run_script, script_bound
from tests.families.lab import lab
from tests.families.recorded_flows import make_session
from tests.fresh import Fresh
from tests.runners.parts import ROOT, Given, Results, Runner, main

DOCS = ROOT / "docs" / "family_scripts_parity.md"
_HEAD = """# Recorded workflows of flow models as exported scripts

Made by `python -m tests.runners.family_scripts`, which `make parity` runs: workflows that ComfyUI 0.8.0 ran in float32 on
the CPU with tiny deterministic weights, imported and exported; each script runs in a process that cannot import graphflow.
An error is the largest difference over the largest value. One that cannot be exported counts as not within its bound.
Left out are schedules alone, which scripts make by the engine's own functions, one prompt whose mask leaves tokens out, as
no text encoder does, and two with pictures of which no image encoder is there. Of the family misc this is Stable Video
Diffusion.

| family | kind of case | cases | within bounds | largest error of its bound |
|---|---|---|---|---|
"""


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Compare scripts with one session; each gives its errors by array, or what went wrong."""
    torch.set_num_threads(1)
    with lab() as registry, Fresh() as fresh, TemporaryDirectory() as scratch:
        models = Path(scratch) / "models"
        session = make_session(registry, models, Path(scratch) / "cache")
        for part in parts:
            family, _, case = part.partition("/")
            with TemporaryDirectory(dir=scratch) as work:
                try:
                    result = {"errors": run_script(fresh, session, family, case, models, Path(work))}
                except Exception as error:  # it is the result of this part
                    result = {"errors": {}, "problem": f"{type(error).__name__}: {error}"}
            yield part, {**result, "part": part}


def _worst(result: Any) -> tuple[float, float]:
    """The largest error and how far the case may differ."""
    return max(result["errors"].values(), default=float("inf")), script_bound(result["part"])


def _ok(result: Any) -> bool:
    worst, most = _worst(result)
    return worst <= most


def _write(results: Results, given: Given) -> None:
    rows = []
    for family in FAMILIES:
        for kind in dict.fromkeys(case.split("/")[0] for case in expressible(family)):
            found = [result for part, result in results.items() if part.split("/")[:2] == [family, kind]]
            worst = max(found, key=lambda result: _worst(result)[0] / _worst(result)[1])
            told = "{:.1e} of {:.0e} ({})".format(*_worst(worst), worst["part"].partition("/")[2])
            rows.append(f"| {family} | {kind} | {len(found)} | {sum(map(_ok, found))} | {told} |")
    DOCS.write_text(_HEAD + "\n".join(rows) + "\n", "utf-8")
    print(f"wrote {DOCS.relative_to(ROOT)}")


RUNNER = Runner(
    name="family_scripts",
    about=__doc__,
    parts=tuple(f"{family}/{case}" for family in FAMILIES for case in expressible(family)),
    run=run,
    ok=_ok,
    line=lambda result: result.get("problem") or "{:.1e} of {:.0e}".format(*_worst(result)),
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
