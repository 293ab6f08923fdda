"""``graphflow run`` against a plain Diffusers script: same weights, same steps, same size, side by side.

Cold: two fresh processes, one after the other, repeated; wall time, processor time (of all threads, with the system's)
and peak memory of each. Warm: one process that holds both; each picture has another seed, prompts stay, so the engine
reuses what it has stored and the pipeline does what pipelines do. Ratios are graphflow / Diffusers. Everything
computes on one thread: with more, whatever else runs on the machine makes threads wait for each other, and what is
measured is that.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

PROMPT = "a red circle on a blue background"
PLAIN = """
import sys, torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
model, size, steps, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
pipe = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32, local_files_only=True)
pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
pipe.set_progress_bar_config(disable=True)
image = pipe(sys.argv[5], num_inference_steps=steps, guidance_scale=5.0, width=size, height=size,
             generator=torch.Generator("cpu").manual_seed(7)).images[0]
image.save(out)
"""


def random_sd15(folder: Path) -> Path:
    """Write a full-size Stable Diffusion 1.5 with random weights and the shapes model's tokenizer."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from graphflow.library.library import Library
    from graphflow.settings import load_settings

    shapes = Library(load_settings()).describe("shapes", "checkpoint").path
    assert shapes is not None
    tokenizer = CLIPTokenizer.from_pretrained(shapes / "tokenizer")
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)
    return folder


class Cost(NamedTuple):
    """What a process or a picture took: wall seconds, processor seconds, peak memory in MiB."""

    wall: float
    processor: float
    memory: float = 0.0


def median(costs: list[Cost]) -> Cost:
    """Return the median of each."""
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def child(arguments: list[str], environment: dict[str, str]) -> Cost:
    """Run a process."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments[:3]} failed: {said.decode()[-2000:]}")
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def cold(model: Path, size: int, steps: int, repeats: int) -> tuple[Cost, Cost]:
    """Return what graphflow and Diffusers take in fresh processes, medians."""
    rows: dict[str, list[Cost]] = {"graphflow": [], "diffusers": []}
    for number in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "GRAPHFLOW_CACHE_DIR": folder, "HF_HUB_OFFLINE": "1"}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody runs without compiled modules
            inputs = {
                "model": str(model),
                "prompt": PROMPT,
                "negative_prompt": "",
                "steps": steps,
                "width": size,
                "height": size,
                "seed": 7,
            }
            options = [part for name, value in inputs.items() for part in ("-i", f"{name}={value}")]
            program = str(Path(sys.executable).with_name("graphflow"))
            lines = {
                "graphflow": [program, "run", "txt2img", *options, "--out", folder, "--quiet"],
                "diffusers": [
                    *(sys.executable, "-c", PLAIN, str(model), str(size), str(steps)),
                    *(f"{folder}/plain.png", PROMPT),
                ],
            }
            # Whoever comes first reads the files from the disk where memory is short, so they take turns.
            for name in sorted(lines, reverse=number % 2 == 0):
                rows[name].append(child(lines[name], environment))
    return median(rows["graphflow"]), median(rows["diffusers"])


def warm(model: Path, size: int, steps: int, repeats: int) -> tuple[Cost, Cost]:
    """Return what a picture with a new seed takes, for graphflow and for Diffusers, alternating; medians."""
    import torch
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    import graphflow
    from graphflow import workflows
    from graphflow.settings import Settings

    pipe = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32, local_files_only=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    pipe.set_progress_bar_config(disable=True)
    rows: dict[str, list[Cost]] = {"graphflow": [], "diffusers": []}
    with tempfile.TemporaryDirectory() as folder:
        session = graphflow.Session(Settings(cache_dir=Path(folder), offline=True))
        workflow = graphflow.Workflow.load(workflows.path("txt2img"))
        fixed: dict[str, Any] = {
            "model": str(model),
            "prompt": PROMPT,
            "negative_prompt": "",
            "steps": steps,
            "width": size,
            "height": size,
        }
        for seed in range(repeats + 1):
            start = time.perf_counter(), time.process_time()
            session.run(workflow, {**fixed, "seed": seed}, out=Path(folder) / "out")
            middle = time.perf_counter(), time.process_time()
            generator = torch.Generator("cpu").manual_seed(seed)
            pipe(
                PROMPT, num_inference_steps=steps, guidance_scale=5.0, width=size, height=size, generator=generator
            ).images[0].save(f"{folder}/plain.png")
            end = time.perf_counter(), time.process_time()
            if seed:  # the first of each loads
                rows["graphflow"].append(Cost(middle[0] - start[0], middle[1] - start[1]))
                rows["diffusers"].append(Cost(end[0] - middle[0], end[1] - middle[1]))
    return median(rows["graphflow"]), median(rows["diffusers"])


def print_rows(name: str, what: str, ours: Cost, theirs: Cost) -> None:
    """Print one row for each measure that there is."""
    for measure, own, other in (
        ("s", ours.wall, theirs.wall),
        ("processor s", ours.processor, theirs.processor),
        ("peak MiB", ours.memory, theirs.memory),
    ):
        if other:
            digits = 0 if measure == "peak MiB" else 2
            print(
                f"| {name} | {what}, {measure} | {own:.{digits}f} | {other:.{digits}f} | {own / other:.2f} |",
                flush=True,
            )


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="processes, and pictures, of each")
    parser.add_argument(
        "--full-size", type=Path, metavar="DIR", help="a Stable Diffusion 1.5 folder; random weights by default"
    )
    parser.add_argument("--skip-full-size", action="store_true", help="leave the full-size Stable Diffusion 1.5 out")
    options = parser.parse_args([] if arguments is None else arguments)
    os.environ["OMP_NUM_THREADS"] = "1"  # for the children, and for this process's torch, which is not imported yet
    from graphflow.library.library import Library
    from graphflow.settings import load_settings

    shapes = Library(load_settings()).describe("shapes", "checkpoint").path
    assert shapes is not None
    print("| model | what | graphflow | Diffusers | ratio |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        models = [("shapes, 128 px, 20 steps", shapes, 128, 20, options.repeats)]
        if not options.skip_full_size:
            full = options.full_size
            if full is None:
                # In a process of its own: what this one holds would count as its children's peak memory.
                make = (
                    "import sys, pathlib, benchmarks.against_diffusers as b; b.random_sd15(pathlib.Path(sys.argv[1]))"
                )
                subprocess.run([sys.executable, "-c", make, folder], check=True, stderr=subprocess.DEVNULL)
                full = Path(folder)
            models.append(("SD 1.5 in full size, 64 px, 4 steps", full, 64, 4, max(2, options.repeats // 2)))
        for name, path, size, steps, repeats in models:
            print_rows(name, "cold process", *cold(path, size, steps, repeats))
        for name, path, size, steps, repeats in models:
            print_rows(name, "warm picture", *warm(path, size, steps, repeats + 2))


if __name__ == "__main__":
    main(sys.argv[1:])
