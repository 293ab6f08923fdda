"""Compares everything with the recorded numbers and writes docs/parity.md.

    python -m tests.parity.run_parity [--only SUBSTRING] [--out FILE]

Exit code 1 where a case is out of bounds.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import diffusers
import torch

from graphflow.sampling.names import SAMPLER_NAMES
from graphflow.sampling.samplers import SAMPLERS
from tests.parity.harness import BOUND, BROWNIAN_BOUND, Measured, TinyModel, measure, recorded

REPORT = Path(__file__).parents[2] / "docs" / "parity.md"
SCHEDULES = ("normal", "karras", "simple", "beta")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="compare the cases whose name contains this, and write nothing")
    parser.add_argument("--out", type=Path, default=REPORT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = TinyModel()
    results: dict[str, Measured] = {}
    for key, wanted in recorded("samplers").items():
        case = key.removesuffix("/latent")
        if given.only not in case:
            continue
        start = time.monotonic()
        results[case] = result = measure(model, case, wanted)
        verdict = "ok" if result.passed else "OUT OF BOUNDS"
        print(f"{case:42} {result.error:.1e} {verdict} ({time.monotonic() - start:.1f} s)", flush=True)
    failed = [case for case, result in results.items() if not result.passed]
    print(f"{len(results) - len(failed)} of {len(results)} cases within bounds")
    if not given.only:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(report(results))
        print(f"wrote {given.out}")
    return 1 if failed else 0


def report(results: dict[str, Measured]) -> str:
    """Return the table of errors as Markdown."""
    worst = max(results.values(), key=lambda r: r.error / r.bound)
    passed = sum(result.passed for result in results.values())
    lines = [
        "# Parity with ComfyUI",
        "",
        "Written by `make parity`. Each number is max |a − b| / max |b| of the final latent against one recorded from",
        "ComfyUI 0.3.64 with the same weights, prompts and seed (8 steps, guidance scale 7, CPU, float32, one thread).",
        f"Bound: {BOUND:.0e}, and {BROWNIAN_BOUND:.0e} for samplers with Brownian noise (marked B).",
        "",
        f"{passed} of {len(results)} cases are within bounds; the largest error is "
        f"{max(r.error for r in results.values()):.1e}, the nearest to its bound {worst.error / worst.bound:.0%} of it.",
        "All nine schedules (66 recorded lists of sigmas) and the initial noise equal the recorded ones bit for bit, which",
        "`tests/parity/test_sigmas.py` holds.",
        f"torch {torch.__version__.split('+')[0]}, diffusers {diffusers.__version__}.",
        "",
        "| sampler | " + " | ".join(SCHEDULES) + " |",
        "|---|" + "---|" * len(SCHEDULES),
    ]
    for sampler in SAMPLER_NAMES:
        mark = " B" if SAMPLERS[sampler].noise.startswith("brownian") else ""
        cells = [_cell(results[f"{sampler}-{schedule}"]) for schedule in SCHEDULES]
        lines.append(f"| {sampler}{mark} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(result: Measured) -> str:
    text = f"{result.error:.1e}"
    if result.movement is not None:
        text += f" (ill-conditioned, bound {result.bound:.0e})"
    return text if result.passed else f"**{text}**"


if __name__ == "__main__":
    sys.exit(main())
