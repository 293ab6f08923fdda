"""``graphflow run`` against a plain Diffusers script: same weights, same steps, same size, side by side.

Cold: two fresh processes, one after the other, repeated; wall time and peak memory of each. Warm: one process that
holds both; each picture has another seed, prompts stay, so the engine reuses what it has stored and the pipeline does
what pipelines do. Ratios are graphflow / Diffusers.
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
from typing import Any

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

    from graphflow.models.library import Library
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


def child(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a process; returns wall seconds and peak memory in MiB."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments[:3]} failed: {said.decode()[-2000:]}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def cold(model: Path, size: int, steps: int, repeats: int) -> tuple[float, float, float, float]:
    """Return median seconds and MiB of graphflow, then of Diffusers, each in fresh processes."""
    rows: dict[str, list[tuple[float, float]]] = {"graphflow": [], "diffusers": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "GRAPHFLOW_CACHE_DIR": folder, "HF_HUB_OFFLINE": "1"}
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
            run = [
                str(Path(sys.executable).with_name("graphflow")),
                "run",
                "txt2img",
                *options,
                "--out",
                folder,
                "--quiet",
                "--safety",
                "auto",
            ]
            rows["graphflow"].append(child(run, environment))
            plain = [sys.executable, "-c", PLAIN, str(model), str(size), str(steps), f"{folder}/plain.png", PROMPT]
            rows["diffusers"].append(child(plain, environment))
    seconds = {name: statistics.median(row[0] for row in found) for name, found in rows.items()}
    memory = {name: statistics.median(row[1] for row in found) for name, found in rows.items()}
    return seconds["graphflow"], memory["graphflow"], seconds["diffusers"], memory["diffusers"]


def warm(model: Path, size: int, steps: int, repeats: int) -> tuple[float, float]:
    """Return median seconds of a picture with a new seed, for graphflow and for Diffusers, alternating."""
    import torch
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    import graphflow
    from graphflow import workflows
    from graphflow.settings import Settings

    pipe = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32, local_files_only=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    pipe.set_progress_bar_config(disable=True)
    times: dict[str, list[float]] = {"graphflow": [], "diffusers": []}
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
            started = time.perf_counter()
            session.run(workflow, {**fixed, "seed": seed}, out=Path(folder) / "out")
            middle = time.perf_counter()
            generator = torch.Generator("cpu").manual_seed(seed)
            pipe(
                PROMPT, num_inference_steps=steps, guidance_scale=5.0, width=size, height=size, generator=generator
            ).images[0].save(f"{folder}/plain.png")
            if seed:  # the first of each loads
                times["graphflow"].append(middle - started)
                times["diffusers"].append(time.perf_counter() - middle)
    return statistics.median(times["graphflow"]), statistics.median(times["diffusers"])


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="processes, and pictures, of each")
    parser.add_argument("--skip-full-size", action="store_true", help="leave the full-size Stable Diffusion 1.5 out")
    options = parser.parse_args([] if arguments is None else arguments)
    from graphflow.models.library import Library
    from graphflow.settings import load_settings

    shapes = Library(load_settings()).describe("shapes", "checkpoint").path
    assert shapes is not None
    print("| model | what | graphflow | Diffusers | ratio |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        models = [("shapes, 128 px, 20 steps", shapes, 128, 20)]
        if not options.skip_full_size:
            # In a process of its own: what this one holds would count as its children's peak memory.
            make = "import sys, pathlib, benchmarks.against_diffusers as b; b.random_sd15(pathlib.Path(sys.argv[1]))"
            subprocess.run([sys.executable, "-c", make, folder], check=True, stderr=subprocess.DEVNULL)
            models.append(("SD 1.5 random, 128 px, 8 steps", Path(folder), 128, 8))
        for name, path, size, steps in models:
            ours, our_memory, theirs, their_memory = cold(path, size, steps, options.repeats)
            print(f"| {name} | cold process, s | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |", flush=True)
            print(
                f"| {name} | cold process, peak MiB | {our_memory:.0f} | {their_memory:.0f} | {our_memory / their_memory:.2f} |",
                flush=True,
            )
            ours, theirs = warm(path, size, steps, options.repeats + 4)
            print(f"| {name} | warm picture, s | {ours:.3f} | {theirs:.3f} | {ours / theirs:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
