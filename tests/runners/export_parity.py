"""Runs the scripts of recorded ComfyUI workflows, compares with ComfyUI's own numbers, and writes docs/export_parity.md.

Parts: `features/WORKFLOW` at full size, and `samplers/SAMPLER-SCHEDULE` on a small U-Net.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from tests.comfyui.recorded import BOUND
from tests.export.recorded import Compared, all_names, run_recorded
from tests.parity.harness import BROWNIAN_BOUND
from tests.parity.weights import write_models
from tests.runners.parity import with_models
from tests.runners.parts import ROOT, Given, Results, Runner, main

REPORT = ROOT / "docs" / "export_parity.md"


def with_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    with_models(parser)
    parser.add_argument("--jobs", type=int, default=2, help="how many scripts run at once, each with 4.4 GB")


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Compare cases, several at once."""
    torch.set_num_threads(1)
    write_models(models := given.models.resolve())  # scripts run in folders of their own
    for name, found in run_recorded(models, parts, given.jobs):
        yield name, asdict(found)


def report(results: Mapping[str, Compared]) -> str:
    """Return docs/export_parity.md."""
    passed = sum(result.ok for result in results.values())
    calls = sum(result.call for result in results.values())
    lines = [
        "# Exported scripts against ComfyUI",
        "",
        "Written by `make parity`. Each recorded ComfyUI workflow is imported and exported; its script runs in a process that",
        "cannot import graphflow. Numbers are max |a − b| / max |b| of the latent that it saves, against the one that",
        f"ComfyUI 0.3.64 saved (CPU, float32). Bound: {BOUND:.0e}, and {BROWNIAN_BOUND:.0e} for samplers with Brownian noise.",
        "Pictures may differ by 1 of 255.",
        "",
        f"{passed} of {len(results)} are within bounds. {calls} scripts are pipeline calls alone (marked C); the others hold",
        "a loop with the sampler that they need.",
        "",
        "## Workflows",
        "",
        "Stable Diffusion 1.5 at full size.",
        "",
        "| workflow | latent | pixels of 255 | lines |",
        "|---|---|---|---|",
        *(_row(name, result) for name, result in _of(results, "features")),
        "",
        "## Samplers",
        "",
        "A small UNet, 8 steps, guidance scale 7.",
        "",
        *_grid(dict(_of(results, "samplers"))),
    ]
    return "\n".join(lines) + "\n"


def _of(results: Mapping[str, Compared], group: str) -> Iterator[tuple[str, Compared]]:
    return ((name.partition("/")[2], found) for name, found in results.items() if name.startswith(f"{group}/"))


def _row(name: str, found: Compared) -> str:
    pixels = "" if found.pixels is None else f"{found.pixels * 255:.0f}"
    return f"| {name} | {_cell(found)} | {pixels} | {found.lines or ''} |"


def _grid(found: Mapping[str, Compared]) -> Iterator[str]:
    split = [name.rsplit("-", 1) for name in found]
    schedules = list(dict.fromkeys(schedule for _, schedule in split))
    yield f"| sampler | {' | '.join(schedules)} |"
    yield "|---|" + "---|" * len(schedules)
    for sampler in dict.fromkeys(sampler for sampler, _ in split):
        yield f"| {sampler} | {' | '.join(_cell(found.get(f'{sampler}-{name}')) for name in schedules)} |"


def _cell(found: Compared | None) -> str:
    if found is None:
        return ""
    text = "fails" if found.problem else f"{found.error:.1e}{' C' if found.call else ''}"
    return text if found.ok else f"**{text}**"


def _line(result: Any) -> str:
    found = Compared(**result)
    return f"{found.error:.1e} {'ok' if found.ok else f'OUT OF BOUNDS {found.problem}'}"


def _write(results: Results, given: Given) -> None:
    REPORT.write_text(report({part: Compared(**result) for part, result in results.items()}), "utf-8")
    print(f"wrote {REPORT.relative_to(ROOT)}")


RUNNER = Runner(
    name="export_parity",
    about=__doc__,
    parts=tuple(all_names()),
    run=run,
    ok=lambda result: Compared(**result).ok,
    line=_line,
    report=_write,
    options=with_jobs,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
