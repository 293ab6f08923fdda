"""Sixteen variants of one graph: ``graphflow run --vary``, the same with ``--batch auto``, and a plain Diffusers loop.

Every row is a fresh process from start to end, with an empty store; the loop keeps its pipeline and its prompts' way. The
last rows time what is kept for a run that goes on, in one process. Ratios are to the loop.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.against_diffusers import PROMPT, Cost, child, median

LOOP = """
import json, sys, torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
model, size, steps, out, variants = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], json.loads(sys.argv[5])
pipe = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32, local_files_only=True)
pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
pipe.set_progress_bar_config(disable=True)
for number, (prompt, seed, scale) in enumerate(variants):
    pipe(prompt, num_inference_steps=steps, guidance_scale=scale, width=size, height=size,
         generator=torch.Generator("cpu").manual_seed(seed)).images[0].save(f"{out}/{number}.png")
"""

COLOURS, SHAPES = ("red", "green", "blue", "yellow"), ("circle", "star", "heart", "square")


def lines(model: Path, size: int, steps: int, kind: str, folder: str) -> dict[str, list[str]]:
    """Return the command lines of the three ways, which draw the same pictures."""
    import json

    prompts = [f"a {colour} {shape} on a black background" for colour in COLOURS for shape in SHAPES]
    variants: dict[str, tuple[str, list[tuple[str, int, float]]]] = {
        "seeds": ("seed=1..16", [(PROMPT, seed, 5.0) for seed in range(1, 17)]),
        "prompts": (f"prompt={json.dumps(prompts)}", [(prompt, 7, 5.0) for prompt in prompts]),
        "guidance": ("guidance_scale=1.5..9..0.5", [(PROMPT, 7, 1.5 + 0.5 * step) for step in range(16)]),
    }
    vary, told = variants[kind]
    inputs = {"model": model, "prompt": PROMPT, "negative_prompt": "", "steps": steps, "width": size, "height": size}
    given = [part for name, value in {**inputs, "seed": 7}.items() for part in ("-i", f"{name}={value}")
             if not vary.startswith(f"{name}=")]  # fmt: skip
    program = str(Path(sys.executable).with_name("graphflow"))
    ours = [program, "run", "txt2img", *given, "--vary", vary, "--out", folder, "--quiet"]
    return {
        "loop": [sys.executable, "-c", LOOP, str(model), str(size), str(steps), folder, json.dumps(told)],
        "sweep": ours,
        "batch": [*ours, "--batch", "auto"],
    }


def compare(model: Path, size: int, steps: int, kind: str, repeats: int) -> dict[str, Cost]:
    """Return the medians of each way, which take turns."""
    rows: dict[str, list[Cost]] = {}
    for number in range(repeats):
        names = ["loop", "sweep", "batch"]
        for name in names[number % 3 :] + names[: number % 3]:
            with tempfile.TemporaryDirectory() as folder:
                environment = {**os.environ, "GRAPHFLOW_CACHE_DIR": f"{folder}/cache", "HF_HUB_OFFLINE": "1"}
                rows.setdefault(name, []).append(child(lines(model, size, steps, kind, folder)[name], environment))
    return {name: median(costs) for name, costs in rows.items()}


def keeping(shape: tuple[int, ...], repeats: int = 20) -> float:
    """Return milliseconds of processor time that it takes to keep an evaluation of two sides, flushes included."""
    import torch

    from graphflow.sampling.resuming import Resuming
    from graphflow.store.tapes import Tape

    x, sigma = torch.randn(shape), torch.tensor(1.0)
    answers = [torch.randn(shape), torch.randn(shape)]
    with tempfile.TemporaryDirectory() as folder:
        tape = Tape(f"{folder}/tape", 1 << 32)
        resuming = Resuming(tape, [], "cpu", lambda message: None)
        started = time.process_time()
        for step in range(repeats):
            resuming(x + step, sigma, 2, None, lambda: answers)
        tape.close()
        return (time.process_time() - started) * 1000 / repeats


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2, help="processes of each")
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 128], help="edges in pixels")
    parser.add_argument("--kinds", nargs="*", default=["seeds", "prompts", "guidance"], help="what is varied")
    options = parser.parse_args([] if arguments is None else arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    from graphflow.library.library import Library
    from graphflow.settings import load_settings

    shapes = Library(load_settings()).describe("shapes", "checkpoint").path
    assert shapes is not None
    print("| 16 variants | measure | loop | sweep | ratio | `--batch auto` | ratio |")
    print("|---|---|---|---|---|---|---|")
    for size in options.sizes:
        for kind in options.kinds:
            found = compare(shapes, size, 20, kind, options.repeats)
            for measure in Cost._fields:
                loop, sweep, batch = (getattr(found[name], measure) for name in ("loop", "sweep", "batch"))
                print(
                    f"| {kind}, {size} px | {measure} | {loop:.1f} | {sweep:.1f} | {sweep / loop:.2f}"
                    f" | {batch:.1f} | {batch / loop:.2f} |",
                    flush=True,
                )
    print()
    print("| latent | keeping an evaluation of two sides, processor ms |")
    print("|---|---|")
    for shape in ((1, 4, 64, 64), (1, 16, 128, 128), (1, 16, 21, 60, 104)):
        print(f"| {' × '.join(map(str, shape))} | {keeping(shape):.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
