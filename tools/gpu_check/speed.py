"""Speed and peak memory against plain Diffusers pipelines: the same files in the same process, taking turns."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch

from graphflow import Workflow, workflows
from tools.gpu_check.machine import MIB, Machine
from tools.gpu_check.memory import collect
from tools.gpu_check.random_models import Family
from tools.gpu_check.rows import Row, Speed

SIZES: dict[Family, int] = {"sd": 512, "sdxl": 1024}
NAMES: dict[Family, str] = {"sd": "SD 1.5", "sdxl": "SDXL"}
REPEATS = {1: 3, 4: 2}
PROMPT, GUIDANCE = "a red circle on a blue background", 5.0


def speed_sd(machine: Machine) -> Iterator[Row | Speed]:
    """SD 1.5 at 512 pixels."""
    return _speed(machine, "sd")


def speed_sdxl(machine: Machine) -> Iterator[Row | Speed]:
    """SDXL at 1024 pixels."""
    return _speed(machine, "sdxl")


def _speed(machine: Machine, family: Family) -> Iterator[Row | Speed]:
    on_cuda = machine.device == "cuda"
    size, steps = (SIZES[family], 20) if on_cuda else (64, 2)
    dtype = "float16" if on_cuda else "float32"
    started = time.perf_counter()
    model = machine.model(family)
    yield Row(
        f"random {family}: made and written (or written before)",
        f"{time.perf_counter() - started:.1f} s",
        "",
        "measured",
    )
    ours, theirs = _Engine(machine, model, dtype), _Pipeline(machine, model, dtype)
    loading = []
    for side in (ours, theirs):
        before = collect(machine)
        loading.append(_timed(machine, lambda side=side: side.draw(0, size, 1, 1)))
        side.weights = collect(machine) - before
    yield Speed(f"{NAMES[family]}, {size} px", "load and take one step, s", *loading)
    for batch, repeats in REPEATS.items():
        if machine.left() < 30 and on_cuda:
            yield Row(f"{NAMES[family]}, batch of {batch}: speeds", state="not reached")
            continue
        measured: dict[str, dict[str, list[float]]] = {"ours": defaultdict(list), "theirs": defaultdict(list)}
        for seed in range(1, repeats + 2):
            for name, side in (("ours", ours), ("theirs", theirs)):
                before = collect(machine)
                if on_cuda:
                    torch.cuda.reset_peak_memory_stats()
                whole = _timed(machine, lambda side=side, seed=seed, batch=batch: side.draw(seed, size, steps, batch))
                taken = torch.cuda.max_memory_allocated() - before if on_cuda else 0.0
                if seed > 1:  # the first of each warms up
                    measured[name]["whole"].append(whole)
                    measured[name]["sampling"].append(side.sampling)
                    measured[name]["peak"].append((side.weights + taken) / MIB)
        one, other = ({what: statistics.median(all_) for what, all_ in side.items()} for side in measured.values())
        label = f"{NAMES[family]}, {size} px, batch of {batch}"
        yield Speed(label, "steps a second", steps / one["sampling"], steps / other["sampling"])
        yield Speed(label, "whole picture, s", one["whole"], other["whole"])
        if on_cuda:
            yield Speed(label, "peak memory, MiB", one["peak"], other["peak"])


class _Engine:
    """The packaged workflow."""

    def __init__(self, machine: Machine, model: str, dtype: str) -> None:
        self.session, self.model = machine.session(dtype), model
        self.flow = Workflow.load(workflows.path("txt2img"))
        self.sampling = self.weights = 0.0

    def draw(self, seed: int, size: int, steps: int, batch: int) -> None:
        inputs = {
            "model": self.model,
            "prompt": PROMPT,
            "guidance_scale": GUIDANCE,
            "seed": seed,
            "steps": steps,
            "width": size,
            "height": size,
            "batch_size": batch,
            "sampler": "euler",
            "schedule": "normal",
        }
        self.sampling = self.session.run(self.flow, inputs, targets=["decode"]).seconds["sample"]


class _Pipeline:
    """A plain pipeline; loaded when it first draws."""

    def __init__(self, machine: Machine, model: str, dtype: str) -> None:
        self.machine, self.model, self.dtype = machine, model, dtype
        self.pipe: Any = None
        self.sampling = self.weights = self._decoding = 0.0

    def draw(self, seed: int, size: int, steps: int, batch: int) -> None:
        if self.pipe is None:
            self._load()
        self._decoding = 0.0
        generators = [torch.Generator("cpu").manual_seed(seed + item) for item in range(batch)]
        whole = _timed(self.machine, lambda: self.pipe(
            PROMPT, negative_prompt="", num_images_per_prompt=batch, num_inference_steps=steps, width=size, height=size,
            guidance_scale=GUIDANCE, generator=generators, output_type="pt",
        ))  # fmt: skip
        self.sampling = whole - self._decoding

    def _load(self) -> None:
        from diffusers import DiffusionPipeline

        pipe = DiffusionPipeline.from_pretrained(self.model, dtype=getattr(torch, self.dtype), local_files_only=True)
        self.pipe = pipe.to(self.machine.device)
        self.pipe.set_progress_bar_config(disable=True)
        decode = self.pipe.vae.decode

        def timed(*arguments: Any, **options: Any) -> Any:
            pictures: list[Any] = []
            self._decoding += _timed(self.machine, lambda: pictures.append(decode(*arguments, **options)))
            return pictures[0]

        self.pipe.vae.decode = timed


def _timed(machine: Machine, work: Callable[[], Any]) -> float:
    if machine.device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if machine.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
