"""Sixteen variants of one graph: ``graphflow run --vary``, with ``--batch auto``, alone, and a plain Diffusers loop.

Every row is made of fresh processes from start to end with an empty store; the loop keeps its pipeline. Runs alone are a
process a picture, of which two are run, times eight. Models are the packaged one and Stable Diffusion 1.5 in full size
with random weights. The last tables say what is spent on the record, the mark and on what is kept for a run that goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

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

COLOURS, SHAPES = ("red", "green", "orange", "purple"), ("circle", "star", "heart", "square", "triangle")
# No shape vanishes in its background: the checker withholds what it sees nothing in.
GROUNDS = ("black", "white", "gray", "blue", "yellow", "pink")
PROMPTS = [f"a {one} {shape} on a {ground} background" for ground in GROUNDS for one in COLOURS for shape in SHAPES]
ALONE = 2
"""Of the runs alone, how many are measured; the others cost the same."""


class Case(NamedTuple):
    """What is varied: the value of ``--vary``, and prompt, seed and guidance scale of each variant."""

    vary: str
    variants: list[tuple[str, int, float]]


def cases() -> dict[str, Case]:
    """Return what is varied, by name."""
    return {
        "16 seeds": Case("seed=1..16", [(PROMPT, seed, 5.0) for seed in range(1, 17)]),
        "16 prompts": Case(f"prompt={json.dumps(PROMPTS[:16])}", [(prompt, 7, 5.0) for prompt in PROMPTS[:16]]),
        "16 scales": Case("guidance_scale=1.5..9..0.5", [(PROMPT, 7, 1.5 + 0.5 * step) for step in range(16)]),
        "100 prompts": Case(f"prompt={json.dumps(PROMPTS[:100])}", [(prompt, 7, 5.0) for prompt in PROMPTS[:100]]),
    }


def lines(model: Path, size: int, steps: int, case: Case, folder: str) -> dict[str, list[str]]:
    """Return the command lines of each way; all draw the same pictures."""
    prompt, seed, scale = case.variants[0]
    given = {"model": model, "prompt": prompt, "negative_prompt": "", "steps": steps, "width": size, "height": size,
             "seed": seed, "guidance_scale": scale}  # fmt: skip
    program = str(Path(sys.executable).with_name("graphflow"))

    def ours(*more: str, varied: str = "") -> list[str]:
        options = [part for name, value in given.items() if name != varied for part in ("-i", f"{name}={value}")]
        return [program, "run", "txt2img", *options, *more, "--out", folder, "--quiet"]

    sweep = ours("--vary", case.vary, varied=case.vary.partition("=")[0])
    plain = [sys.executable, "-c", LOOP, str(model), str(size), str(steps), folder, json.dumps(case.variants)]
    return {"alone": ours(), "loop": plain, "sweep": sweep, "batch": [*sweep, "--batch", "auto"]}


def compare(model: Path, size: int, steps: int, case: Case, repeats: int) -> dict[str, Cost]:
    """Return the medians of each way, which take turns."""
    rows: dict[str, list[Cost]] = {}
    for number in range(repeats):
        names = ["loop", "sweep", "batch", "alone"]
        for name in names[number % 4 :] + names[: number % 4]:
            costs = []
            for _ in range(ALONE if name == "alone" else 1):
                with tempfile.TemporaryDirectory() as folder:
                    environment = {
                        **os.environ,
                        "GRAPHFLOW_CACHE_DIR": f"{folder}/cache",
                        "HF_HUB_OFFLINE": "1",
                        "OMP_WAIT_POLICY": "passive",  # a thread that waits for others takes no processor time
                    }
                    costs.append(child(lines(model, size, steps, case, folder)[name], environment))
            times = len(case.variants) / ALONE if name == "alone" else 1
            wall, processor = (times * sum(part) for part in list(zip(*costs, strict=True))[:2])
            rows.setdefault(name, []).append(Cost(wall, processor, max(cost.memory for cost in costs)))
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


def kept(model: Path, size: int, steps: int, pictures: int) -> dict[str, float]:
    """Return processor seconds a picture: the sampling, the record with the mark, and what is kept to go on."""
    from graphflow import Session, runtime
    from graphflow.nodes.output import saving
    from graphflow.sampling import resuming
    from graphflow.settings import Settings
    from graphflow.store.tapes import Tape

    spent = dict.fromkeys(("sampling", "record", "resume"), 0.0)
    clock = time.thread_time  # others, such as those of torch that wait for work, do not count

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = clock()
            try:
                return function(*args, **kwargs)
            finally:
                spent[name] += clock() - started

        return call

    evaluate, encode = resuming.Resuming.__call__, saving.encode_picture

    def evaluated(self: Any, x: Any, sigma: Any, sides: int, variation: Any, ask: Callable[[], Any]) -> Any:
        inside = 0.0

        def asked() -> Any:
            nonlocal inside
            started, all_started = clock(), time.process_time()
            answers = ask()
            inside = clock() - started
            spent["sampling"] += time.process_time() - all_started
            return answers

        started = clock()
        answers = evaluate(self, x, sigma, sides, variation, asked)
        spent["resume"] += clock() - started - inside
        return answers

    def encoded(*args: Any, texts: Any, mark: str, **kwargs: Any) -> Any:
        started = clock()
        encode(*args, texts={}, mark="", **kwargs)
        middle = clock()
        whole = encode(*args, texts=texts, mark=mark, **kwargs)
        spent["record"] += clock() - middle - (middle - started)
        return whole

    patched: list[tuple[Any, str, Callable[..., Any]]] = [
        (resuming.Resuming, "__call__", evaluated),
        (saving, "encode_picture", encoded),
        *((saving, name, counted("record", getattr(saving, name))) for name in ("texts_of", "with_prompt")),
        (runtime.Runtime, "carried", counted("record", runtime.Runtime.carried)),
        *((Tape, name, counted("resume", getattr(Tape, name))) for name in ("close", "remove", "finish")),
    ]
    with tempfile.TemporaryDirectory() as folder, Session(Settings(cache_dir=Path(folder) / "cache")) as session:
        given = {"model": str(model), "steps": steps, "width": size, "height": size, "prompt": PROMPT}
        session.run("txt2img", {**given, "seed": 0}, out=Path(folder) / "out")  # loads, and digests the models
        for owner, name, replacement in patched:
            mock.patch.object(owner, name, replacement).start()
        try:
            for seed in range(1, pictures + 1):
                session.run("txt2img", {**given, "seed": seed}, out=Path(folder) / "out")
        finally:
            mock.patch.stopall()
    return {name: seconds / pictures for name, seconds in spent.items()}


def print_costs(name: str, found: dict[str, Cost]) -> None:
    """Print a row for each measure."""
    for measure in Cost._fields:
        alone, loop, sweep, batch = (getattr(found[way], measure) for way in ("alone", "loop", "sweep", "batch"))
        unit, digits = ("peak MiB", 0) if measure == "memory" else (f"{measure} s", 1)
        numbers = " | ".join(f"{number:.{digits}f}" for number in (alone, loop, sweep, batch))
        ratios = f"{sweep / loop:.2f} | {batch / sweep:.2f} | {batch / alone:.2f}"
        print(f"| {name} | {unit} | {numbers} | {ratios} |", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1, help="processes of each")
    parser.add_argument("--steps", type=int, default=20, help="sampling steps of the packaged model")
    parser.add_argument("--full-steps", type=int, default=8, help="sampling steps of the model in full size")
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 128], help="edges in pixels")
    parser.add_argument("--kinds", nargs="*", default=list(cases()), help="what is varied")
    parser.add_argument("--full-size", type=Path, metavar="DIR", help="a Stable Diffusion 1.5 folder; made by default")
    parser.add_argument("--models", nargs="*", default=["shapes", "SD 1.5"], choices=["shapes", "SD 1.5"], help="which")
    options = parser.parse_args([] if arguments is None else arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    from graphflow.library.library import Library
    from graphflow.settings import load_settings

    shapes = Library(load_settings()).describe("shapes", "checkpoint").path
    assert shapes is not None
    with tempfile.TemporaryDirectory() as folder:
        models = {"shapes": (shapes, options.steps), "SD 1.5": (options.full_size or Path(folder), options.full_steps)}
        if "SD 1.5" in options.models and options.full_size is None:
            make = "import sys, pathlib, benchmarks.against_diffusers as b; b.random_sd15(pathlib.Path(sys.argv[1]))"
            subprocess.run([sys.executable, "-c", make, folder], check=True, stderr=subprocess.DEVNULL)
        print(
            "| variants | measure | alone | loop | sweep | `--batch auto` | sweep / loop | batch / sweep | batch / alone |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for name in options.models:
            path, steps = models[name]
            for size in options.sizes:
                for kind in options.kinds:
                    if (name, size) == ("shapes", 64) or kind != "100 prompts":  # an hour in full size
                        found = compare(path, size, steps, cases()[kind], options.repeats)
                        print_costs(f"{name}, {kind}, {size} px, {steps} steps", found)
    print()
    print("| shapes, 20 steps | sampling, processor ms | record and mark, ms | keeping, ms | share |")
    print("|---|---|---|---|---|")
    for size in options.sizes:
        took = {name: 1000 * seconds for name, seconds in kept(shapes, size, 20, 10).items()}
        share = (took["record"] + took["resume"]) / took["sampling"]
        print(
            f"| {size} px | {took['sampling']:.1f} | {took['record']:.2f} | {took['resume']:.2f} | {share:.2%} |",
            flush=True,
        )
    print()
    print("| latent | keeping an evaluation of two sides, processor ms |")
    print("|---|---|")
    for shape in ((1, 4, 64, 64), (1, 16, 128, 128), (1, 16, 21, 60, 104)):
        print(f"| {' × '.join(map(str, shape))} | {keeping(shape):.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
