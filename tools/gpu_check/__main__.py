"""The command. Exits 0 where everything passed, 1 where something failed or was not reached, 2 where nothing can run."""

from __future__ import annotations

import argparse
import datetime
import faulthandler
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "gpu.md"
GRACE = 45
"""Seconds after which a check that hangs past the deadline ends the run; what was found by then is on the page."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and write the page."""
    options = _parser().parse_args(arguments)
    import torch

    from tools.gpu_check.checks import CHECKS
    from tools.gpu_check.machine import Machine, facts
    from tools.gpu_check.page import page
    from tools.gpu_check.rows import FAILED, NEEDS_CUDA, NOT_REACHED, PASSED, Report, run

    wanted = [check for check in CHECKS if not options.only or check.name in options.only]
    target = PAGE if options.write else options.out.resolve()
    if unknown := sorted(set(options.only) - {check.name for check in CHECKS}):
        return _refuse(f"there is no check {unknown[0]!r}; there are {', '.join(check.name for check in CHECKS)}")
    if options.device == "cuda" and not torch.cuda.is_available():
        return _refuse("torch finds no CUDA device here; --device cpu shows what can be shown without one")
    if target == PAGE and (options.device != "cuda" or options.only):
        return _refuse("docs/gpu.md is written by a run of all checks on a CUDA device, with --write")
    found = facts(options.device)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    target.parent.mkdir(parents=True, exist_ok=True)

    def changed(report: Report) -> None:
        target.write_text(page(report, found, date), "utf-8")

    for name, value in found.items():
        print(f"{name}: {value}", flush=True)
    faulthandler.dump_traceback_later(options.minutes * 60 + GRACE, exit=True)
    try:
        with tempfile.TemporaryDirectory(prefix="graphflow-gpu-", dir=options.scratch) as folder:
            report = run(wanted, Machine(options.device, Path(folder), options.minutes), changed)
    finally:
        faulthandler.cancel_dump_traceback_later()
    counts = [f"{report.count(state)} {state}" for state in (PASSED, FAILED, NEEDS_CUDA, NOT_REACHED)]
    print(f"{', '.join(counts)}; written to {target}")
    return report.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="no check begins that would take longer")
    parser.add_argument("--only", nargs="+", default=[], metavar="CHECK", help="these checks alone")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where 8 GB of models are written for a while")
    to = parser.add_mutually_exclusive_group()
    to.add_argument("--out", type=Path, default=ROOT / "build" / "gpu.md", metavar="FILE", help="the page to write")
    to.add_argument("--write", action="store_true", help="write docs/gpu.md")
    return parser


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return 2


if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    sys.exit(main())
