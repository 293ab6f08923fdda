"""Measure a shapes model: draw held-out prompts with plain Diffusers and let the pixel judge read the pictures."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from evaluate_adapters import measure_adapters, report_adapters
from generating import GUIDANCE, STEPS, generate, load
from pictures.captions import (
    POSITIONS,
    RELATIONS,
    SIZES,
    Example,
    has_held_out_combination,
    held_out,
    pair,
    single,
)
from pictures.drawing import KINDS, Picture, draw
from pictures.judge import NONE, Verdict, judge
from PIL import Image


@dataclass
class Task:
    """A named list of held-out examples and how to tell that a verdict is right."""

    name: str
    examples: list[Example]
    right: Callable[[Example, Verdict], bool]


def one_right(example: Example, verdict: Verdict) -> bool:
    """Whether shape, colour and background are all right, and nothing else is there."""
    shape = example.scene.shapes[0]
    return verdict.shows(shape.kind, shape.colour, example.scene.background)


def size_right(example: Example, verdict: Verdict) -> bool:
    """As `one_right`, and the larger side of the shape fits the size word better than the other sizes."""
    if not one_right(example, verdict):
        return False
    measured = {size: abs(verdict.findings[0].area - _typical_area(example, size)) for size in SIZES}
    return min(measured, key=lambda s: measured[s]) == example.size


def place_right(example: Example, verdict: Verdict) -> bool:
    """As `one_right`, and the shape's centre is nearest to the place the caption names."""
    if not one_right(example, verdict):
        return False
    found = verdict.findings[0]
    apart = {p: (found.x - x) ** 2 + (found.y - y) ** 2 for p, (x, y) in POSITIONS.items()}
    return min(apart, key=lambda p: apart[p]) == example.position


def pair_right(example: Example, verdict: Verdict) -> bool:
    """Whether both shapes, their colours, the background and the relation are right."""
    return verdict.shows_pair(example.scene, example.relation)


def _typical_area(example: Example, size: str) -> float:
    """Area that the judge measures of a drawing with the middle of the size word's radii."""
    middle = replace(example.scene.shapes[0], x=0.5, y=0.5, radius=sum(SIZES[size]) / 2)
    return judge(draw(replace(example.scene, shapes=(middle,)))).findings[0].area


def tasks(prompts: int) -> list[Task]:
    """The main task (`prompts` examples) and the smaller ones on size, place and pairs."""
    few = max(2, prompts // 4)
    return [
        Task("single", held_out(prompts, lambda rng: single(rng), 100), one_right),
        Task(
            "size words", held_out(few, lambda rng: single(rng, size=rng.choice(["small", "large"])), 101), size_right
        ),
        Task(
            "place words",
            held_out(few, lambda rng: single(rng, position=rng.choice([p for p in POSITIONS if p])), 102),
            place_right,
        ),
        Task("two shapes", held_out(few, lambda rng: pair(rng, rng.choice(RELATIONS)), 103), pair_right),
    ]


def measure(task: Task, pictures: list[Picture]) -> dict[str, object]:
    """Shares right (all, held-out combinations, new captions) of a task, and of its parts for single shapes."""
    verdicts = [judge(p) for p in pictures]
    right = np.array([task.right(e, v) for e, v in zip(task.examples, verdicts, strict=True)])
    combination = np.array([has_held_out_combination(e.scene) for e in task.examples])
    result: dict[str, object] = {
        "prompts": len(right),
        "right": float(right.mean()),
        "right_held_out_combinations": float(right[combination].mean()),
        "right_new_captions": float(right[~combination].mean()),
        "wrong": [e.caption for e, r in zip(task.examples, right, strict=True) if not r],
    }
    if not task.examples[0].relation:
        result |= _parts(task.examples, verdicts)
    return result


def _parts(examples: list[Example], verdicts: list[Verdict]) -> dict[str, object]:
    confusion: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    background = colour = kind = 0
    for example, verdict in zip(examples, verdicts, strict=True):
        wanted = example.scene.shapes[0]
        found = verdict.findings[0] if verdict.findings else None
        background += verdict.background == example.scene.background
        colour += found is not None and found.colour == wanted.colour
        kind += found is not None and found.kind == wanted.kind
        confusion[wanted.kind][found.kind if found else NONE] += 1
    n = len(examples)
    return {
        "background": background / n,
        "colour": colour / n,
        "shape": kind / n,
        "confusion": {wanted: dict(row) for wanted, row in confusion.items()},
    }


def report(results: dict[str, dict[str, object]]) -> str:
    """The figures as Markdown tables."""
    lines = ["| prompts | n | all right | held-out combinations | new captions |", "|---|---|---|---|---|"]
    for name, r in results.items():
        shares = [
            f"{100 * float(str(r[k])):.1f} %" for k in ("right", "right_held_out_combinations", "right_new_captions")
        ]
        lines.append(f"| {name} | {r['prompts']} | " + " | ".join(shares) + " |")
    if "single" not in results:
        return "\n".join(lines)
    main_result = results["single"]
    parts = ", ".join(f"{k} {100 * float(str(main_result[k])):.1f} %" for k in ("background", "colour", "shape"))
    lines += ["", f"Single shapes, part by part: {parts}.", ""]
    columns = [*KINDS, NONE]
    lines += ["| asked, judged as | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    confusion = main_result["confusion"]
    assert isinstance(confusion, dict)
    for kind in KINDS:
        lines.append(f"| {kind} | " + " | ".join(str(confusion[kind].get(c, 0)) for c in columns) + " |")
    return "\n".join(lines)


def contact_sheet(pictures: list[Picture], columns: int = 8) -> Image.Image:
    """Pictures side by side with a thin white border."""
    framed = [np.pad(p, ((2, 2), (2, 2), (0, 0)), constant_values=255) for p in pictures]
    rows = [np.concatenate(framed[i : i + columns], axis=1) for i in range(0, len(framed), columns)]
    return Image.fromarray(np.concatenate(rows))


def main() -> None:
    """Print the table; write figures and a contact sheet where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Diffusers folder")
    parser.add_argument(
        "--prompts",
        type=int,
        default=200,
        help="held-out prompts of single shapes; a quarter of each other kind, a tenth for adapters",
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="sampling steps")
    parser.add_argument("--guidance", type=float, default=GUIDANCE, help="guidance scale")
    parser.add_argument("--only", nargs="+", help="only the tasks of these names; `adapters` is one of them")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of 48 held-out prompts here (PNG)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    diffusers_logging.set_verbosity_error()
    pipeline = load(args.model)
    results: dict[str, dict[str, Any]] = {}
    adapters: dict[str, Any] = {}
    sheet, start = [], time.time()
    for task in tasks(args.prompts):
        if args.only and task.name not in args.only:
            continue
        pictures = generate(pipeline, [e.caption for e in task.examples], args.steps, args.guidance)
        results[task.name] = measure(task, pictures)
        sheet += _spread(pictures, 24 if task.name == "single" else 8)
        print(f"{task.name}: {results[task.name]['right']}  ({time.time() - start:.0f} s)", flush=True)
    if not args.only or "adapters" in args.only:
        adapters = measure_adapters(args.model, args.model.parent, max(6, args.prompts // 10))
    if args.sheet:
        contact_sheet(sheet).save(args.sheet, optimize=True)
    if args.json:
        args.json.write_text(json.dumps(results | {"adapters": adapters}, indent=1) + "\n", "utf-8")
    print(report(results))
    print(report_adapters(adapters))


def _spread(pictures: list[Picture], count: int) -> list[Picture]:
    """`count` pictures evenly spread over a list."""
    return [pictures[round(i)] for i in np.linspace(0, len(pictures) - 1, min(count, len(pictures)))]


if __name__ == "__main__":
    main()
