"""The measured errors as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

import diffusers
import torch

from graphflow.sampling.names import SAMPLER_NAMES
from graphflow.sampling.samplers import SAMPLERS
from tests.parity.harness import BOUND, BROWNIAN_BOUND, SOLVED_BOUND, SOLVED_IN_FLOAT32, Measured

SCHEDULES = ("normal", "karras", "simple", "beta")


def report(results: Mapping[str, Measured]) -> str:
    """Return docs/parity.md.

    Args:
        results: By `samplers/SAMPLER-SCHEDULE` and `features/CASE`.
    """
    worst = max(results.values(), key=lambda r: r.error / r.bound)
    largest = max(r.error for part, r in results.items() if part.removeprefix("samplers/") not in SOLVED_IN_FLOAT32)
    passed = sum(result.passed for result in results.values())
    features = {case.removeprefix("features/"): r for case, r in results.items() if case.startswith("features/")}
    lines = [
        "# Parity with ComfyUI",
        "",
        "Written by `make parity`. Each number is max |a − b| / max |b| of a latent against one recorded from",
        "ComfyUI 0.3.64 with the same weights, prompts and seed (CPU, float32, one thread).",
        f"Bound: {BOUND:.0e}, and {BROWNIAN_BOUND:.0e} for samplers with Brownian noise (marked B).",
        "",
        f"{passed} of {len(results)} cases are within bounds; the largest error but for two (see below) is {largest:.1e},",
        f"the nearest to its bound {worst.error / worst.bound:.0%} of it.",
        "All nine schedules (66 recorded lists of sigmas) and the initial noise equal the recorded ones but for rounding, which",
        "`tests/parity/test_sigmas.py` holds; samplers are given the recorded sigmas. Prompts, pictures and masks are compared by",
        "`tests/families/test_recorded.py` and `tests/parity/test_nets.py`.",
        f"torch {torch.__version__.split('+')[0]}, diffusers {diffusers.__version__}.",
        "",
        "## Samplers",
        "",
        "A small UNet, 8 steps, guidance scale 7.",
        "",
        "| sampler | " + " | ".join(SCHEDULES) + " |",
        "|---|" + "---|" * len(SCHEDULES),
    ]
    shown: set[str] = set()
    for sampler in SAMPLER_NAMES:
        mark = " B" if SAMPLERS[sampler].noise.startswith("brownian") else ""
        own = [f"samplers/{sampler}-{schedule}" for schedule in SCHEDULES]
        if not any(part in results for part in own):
            continue  # it came with a later version than the recorded one
        shown.update(own)
        cells = [_cell(results[part]) for part in own]
        lines.append(f"| {sampler}{mark} | " + " | ".join(cells) + " |")
    further = {part: r for part, r in results.items() if part.startswith("samplers/") and part not in shown}
    lines += [
        "",
        "| further case | error |",
        "|---|---|",
        *(f"| {part.removeprefix('samplers/')} | {_cell(result)} |" for part, result in further.items()),
        "",
        "`linear_quadratic` begins with steps so short that the weights of `sa_solver` lose most digits in float32, in which",
        f"they were solved for the recordings. Here they are solved in float64; the bound of these cases is {SOLVED_BOUND:.0e}.",
        "",
        "## Workflows",
        "",
        "Stable Diffusion 1.5 at full size, through the public nodes (`tests/parity/features.py`); of several latents the",
        "worst.",
        "",
        "| workflow | error |",
        "|---|---|",
        *(f"| {case} | {_cell(result)} |" for case, result in features.items()),
    ]
    return "\n".join(lines) + "\n"


def _cell(result: Measured) -> str:
    text = f"{result.error:.1e}"
    if result.movement is not None:
        text += f" (ill-conditioned, bound {result.bound:.0e})"
    return text if result.passed else f"**{text}**"
