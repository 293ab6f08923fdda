"""Workers of a cluster on this machine: what a second one gains, and what a task, a large value and a death cost.

Each worker computes with one thread, and so does what they are compared with, in the same run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from graphflow import Session
from graphflow.settings import Settings
from graphflow.store import MemoryTier, Store

PACK = """
import os, signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from graphflow.spec.decorator import node
from graphflow.values.types import value_type

@value_type("bench_block")
@dataclass(frozen=True, eq=False)
class Block:
    data: Any

@node("bench_add", lane="device")
def add(x: int, y: int = 1) -> int:
    \"\"\"Add two numbers.\"\"\"
    return x + y

@node("bench_block", lane="device")
def block(megabytes: int, seed: int = 0) -> Block:
    \"\"\"Make a value of some size.\"\"\"
    import torch
    return Block(torch.full((megabytes * 250_000,), float(seed)))

@node("bench_pass", lane="device")
def hand_on(block: Block) -> Block:
    \"\"\"Hand a value on.\"\"\"
    return Block(block.data + 1)

@node("bench_dies", lane="device")
def dies(marker: str, seed: int = 0) -> int:
    \"\"\"End the process where a file is not there yet.\"\"\"
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return seed
"""


def session(folder: Path, cluster: str | None, *, disk: bool = True) -> Session:
    """Make a session with an empty store."""
    settings = Settings.model_validate(
        {"cache_dir": Path(tempfile.mkdtemp(dir=folder)), "cluster": cluster, "device": "cpu", "offline": True}
    )
    store = None if disk else Store(MemoryTier(2**33))
    return Session(settings, nodes=folder / "bench_pack.py", store=store)


def chain(length: int, seed: int, kind: str, first: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a graph of nodes of which each reads the one before."""
    name, given = first
    nodes: dict[str, Any] = {"n0": {"type": name, "params": {**given, "seed": seed} if name != "bench_add" else given}}
    for number in range(1, length + 1):
        link = "x" if kind == "bench_add" else "block"
        nodes[f"n{number}"] = {"type": kind, "links": {link: f"n{number - 1}"}}
    return {"graphflow": 2, "nodes": nodes, "outputs": {"end": f"n{length}"}}


def seconds(session: Session, workflow: dict[str, Any]) -> float:
    """Return how long a run takes."""
    started = time.perf_counter()
    session.run(workflow)
    return time.perf_counter() - started


def costs(folder: Path, repeats: int) -> None:
    """Print what a task, a large value and a death cost."""
    rows: dict[str, dict[str, float]] = {}
    places = {"in this process": (None, True), "shared store": ("local*1", True), "Ray's store": ("local*1", False)}
    for name, (cluster, disk) in places.items():
        with session(folder, cluster, disk=disk) as run:
            seconds(run, chain(2, -1, "bench_add", ("bench_add", {"x": -1})))
            seconds(run, chain(1, -1, "bench_pass", ("bench_block", {"megabytes": 64})))
            tasks = [
                seconds(run, chain(200, 0, "bench_add", ("bench_add", {"x": 1000 * n}))) / 200 for n in range(repeats)
            ]
            large = [
                seconds(run, chain(4, n, "bench_pass", ("bench_block", {"megabytes": 64}))) / 5 for n in range(repeats)
            ]
            rows[name] = {"task": 1000 * min(tasks), "64 MB": 1000 * min(large)}
            if cluster is not None:
                deaths = []
                for n in range(repeats):
                    graph = {"graphflow": 2, "outputs": {"end": "n"}}
                    params = {"marker": str(folder / f"{disk}{n}"), "seed": n}
                    deaths.append(seconds(run, {**graph, "nodes": {"n": {"type": "bench_dies", "params": params}}}))
                rows[name]["death"] = min(deaths)
    print("| | in this process | worker, shared store | worker, Ray's store |\n|---|---|---|---|")
    for measure, label in (
        ("task", "a task of a chain of 200, ms"),
        ("64 MB", "a task that reads and makes 64 MB, ms"),
        ("death", "a killed worker replaced and its task done, s"),
    ):
        shown = (f"{row[measure]:.2f}" if measure in row else "" for row in rows.values())
        print(f"| {label} | {' | '.join(shown)} |", flush=True)


def gain(folder: Path, model: Path, size: int, steps: int, variants: int) -> None:
    """Print what a second worker gains on independent variants."""
    import torch

    took: dict[int, float] = {}
    for workers in (1, 2):
        torch.set_num_threads(workers)  # which are shared, so that each has one
        with session(folder, f"local*{workers}") as run:
            for first, number in ((0, workers), (1000, variants)):  # at first, models are loaded
                given = {"model": str(model), "steps": steps, "width": size, "height": size}
                expanded = {n: run.expand("txt2img", {**given, "seed": first + n}) for n in range(number)}
                started = time.perf_counter()
                run.run_together(expanded, out=folder / f"out{workers}", safety="off")
                took[workers] = time.perf_counter() - started
    print("| variants | one worker, s | two, s | efficiency |\n|---|---|---|---|")
    row = f"| SD 1.5, {variants} seeds, {size} px, {steps} steps | {took[1]:.1f} | {took[2]:.1f} |"
    print(f"{row} {took[1] / took[2] / 2:.2f} |", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", type=int, default=128, help="edge in pixels")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--variants", type=int, default=8)
    parser.add_argument("--full-size", type=Path, metavar="DIR", help="a Stable Diffusion 1.5 folder; made by default")
    parser.add_argument("--only", choices=["costs", "gain"])
    options = parser.parse_args([] if arguments is None else arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "bench_pack.py").write_text(PACK, "utf-8")
        if options.only != "gain":
            costs(folder, options.repeats)
            print()
        if options.only != "costs":
            model = options.full_size or folder / "model"
            if options.full_size is None:
                make = (
                    "import sys, pathlib, benchmarks.against_diffusers as b; b.random_sd15(pathlib.Path(sys.argv[1]))"
                )
                subprocess.run([sys.executable, "-c", make, str(model)], check=True, stderr=subprocess.DEVNULL)
            gain(folder, model, options.size, options.steps, options.variants)


if __name__ == "__main__":
    main(sys.argv[1:])
