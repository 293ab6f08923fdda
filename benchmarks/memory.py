"""Peak memory under each policy that saves it, each in a fresh process.

A full-size Stable Diffusion 1.5 with random weights draws a small picture (what counts is weights), and its autoencoder
alone decodes a large latent (what counts is what it computes). The peak on the CPU is the process's resident set: pages
of mapped weight files count once they are touched. One thread; ratios are to the first policy.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks.against_diffusers import PROMPT, child

MIB, GIB = 2**20, 2**30

Work = Literal["draw", "decode"]


@dataclass(frozen=True)
class Policy:
    """One way to save memory.

    Attributes:
        name: As the table has it.
        memory_bytes: Bytes of weights that may stay while nobody uses them; 0 is half of the machine's memory.
        dtype: What weights are computed in.
        measures: Measures in force from the start, by the names of ``graphflow.loading.offload``.
        needs_gpu: Whether it does nothing on the CPU.
    """

    name: str
    memory_bytes: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"
    measures: tuple[str, ...] = ()
    needs_gpu: bool = False


POLICIES = (
    Policy("float32, nothing else"),
    Policy("1 GiB of unused weights stays", memory_bytes=GIB),
    Policy("attention in slices", measures=("sliced_attention",)),
    Policy("large pictures in tiles", measures=("tiles",)),
    Policy("bfloat16", dtype="bfloat16"),
    Policy("all of these", memory_bytes=GIB, dtype="bfloat16", measures=("sliced_attention", "tiles")),
    Policy("models leave the GPU while unused", measures=("model_offload",), needs_gpu=True),
    Policy("layers come to the GPU one by one", measures=("group_offload",), needs_gpu=True),
)


class Sizes(NamedTuple):
    """Pixels of the picture, and sampling steps."""

    draw: int
    decode: int
    steps: int


class Row(NamedTuple):
    """What one process took: MiB of main memory and of the GPU at their peaks, seconds of processor time."""

    work: str
    policy: str
    main: float
    gpu: float
    processor: float


def run(policy: Policy, work: Work, sizes: Sizes, model: Path, device: Literal["cpu", "cuda"]) -> float:
    """Do the work in this process; return the GPU's peak in MiB."""
    import torch

    import graphflow
    from graphflow import workflows
    from graphflow.library.library import Library
    from graphflow.loading.devices import main_memory, place
    from graphflow.loading.manager import ModelManager
    from graphflow.loading.memory import Budget
    from graphflow.settings import Settings
    from graphflow.spec import registry

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(cache_dir=Path(folder), offline=True, device=device, dtype=policy.dtype)
        stays = policy.memory_bytes or main_memory() // 2
        models = ModelManager(
            Library(settings),
            placement=place(device, policy.dtype),
            budget=Budget(main=stays, device=stays),
            measures=policy.measures,
        )
        workflow = graphflow.Workflow.load(workflows.path("txt2img"))
        if work == "decode":
            workflow.document.nodes["decode"].links["latent"] = "latent"
        size = sizes.draw if work == "draw" else sizes.decode
        inputs = {"model": str(model), "prompt": PROMPT, "width": size, "height": size, "steps": sizes.steps}
        session = graphflow.Session(settings, known=registry.installed(), models=models)
        session.run(workflow, inputs, targets=["decode"])
    return torch.cuda.max_memory_allocated() / MIB if device == "cuda" else 0.0


def measured(sizes: Sizes, model: Path, device: Literal["cpu", "cuda"]) -> Iterator[Row]:
    """Measure every policy that does something on the device, for both works."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    works: dict[Work, str] = {
        "draw": f"draw {sizes.draw} px, {sizes.steps} steps",
        "decode": f"decode {sizes.decode} px alone",
    }
    for work, name in works.items():
        for number, policy in enumerate(POLICIES):
            if policy.needs_gpu and device == "cpu":
                continue
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "peak"
                line = [
                    *(sys.executable, "-m", "benchmarks.memory", "--one", str(number), work, str(out)),
                    *("--model", str(model), "--device", device, "--steps", str(sizes.steps)),
                    *("--size", str(sizes.draw), "--decode-size", str(sizes.decode)),
                ]
                cost = child(line, environment)
                yield Row(name, policy.name, cost.memory, float(out.read_text("utf-8")), cost.processor)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="a Stable Diffusion folder; random weights by default"
    )
    parser.add_argument("--size", type=int, default=128, help="pixels of the picture that is drawn")
    parser.add_argument("--decode-size", type=int, default=768, help="pixels of the picture that is decoded alone")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args([] if arguments is None else arguments)
    sizes = Sizes(options.size, options.decode_size, options.steps)
    if options.one:
        number, work, out = options.one
        Path(out).write_text(str(run(POLICIES[int(number)], work, sizes, options.model, options.device)), "utf-8")
        return
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if model is None:
            # In a process of its own: what this one holds would count as its children's peak memory.
            make = "import sys, pathlib, benchmarks.against_diffusers as b; b.random_sd15(pathlib.Path(sys.argv[1]))"
            subprocess.run([sys.executable, "-c", make, folder], check=True, stderr=subprocess.DEVNULL)
            model = Path(folder)
        print("| work | policy | peak MiB | ratio | GPU peak MiB | processor s |")
        print("|---|---|---|---|---|---|")
        first: dict[str, Row] = {}
        for row in measured(sizes, model.resolve(), options.device):
            ratio = row.main / first.setdefault(row.work, row).main
            gpu = f"{row.gpu:.0f}" if options.device == "cuda" else "–"
            print(
                f"| {row.work} | {row.policy} | {row.main:.0f} | {ratio:.2f} | {gpu} | {row.processor:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
