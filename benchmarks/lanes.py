"""Independent variants on two lanes of the CPU against one, a thread each: how much of the second core they use.

Stable Diffusion 1.5 in full size with random weights. Each row is a fresh process that runs two variants first, so that
both lanes have their models, and then times the others. Efficiency is the time on one lane over twice that on two. Needs
two idle cores and 8 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHILD = "--child"


def measure(devices: str, given: Mapping[str, Any], variants: int) -> None:
    """Print the wall seconds of the variants, in this process."""
    from graphflow import Session, Settings, sweep
    from graphflow.basics.allocator import keep_freed_memory

    keep_freed_memory()  # as the command line does
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(cache_dir=Path(folder) / "cache", safety="off")
        with Session(settings, devices=devices) as session:
            seeds = {"inputs": given, "session": session, "out": Path(folder) / "out"}
            sweep("txt2img", {"seed": [1, 2]}, **seeds)
            started = time.perf_counter()
            sweep("txt2img", {"seed": list(range(3, 3 + variants))}, **seeds)
            print(json.dumps(time.perf_counter() - started))


def seconds(lanes: int, given: Mapping[str, Any], variants: int) -> float:
    """Run a process with as many threads as lanes."""
    line = [sys.executable, "-m", "benchmarks.lanes", CHILD, f"cpu*{lanes}", json.dumps(given), str(variants)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(lanes)}
    ran = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(json.loads(ran.stdout.splitlines()[-1]))


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    given = [] if arguments is None else arguments
    if given[:1] == [CHILD]:
        measure(given[1], json.loads(given[2]), int(given[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", type=int, default=128, help="edge in pixels")
    parser.add_argument("--model", type=str, help="a checkpoint; by default one in full size is made")
    options = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as folder:
        if options.model is None:
            make = "import sys, pathlib, benchmarks.against_diffusers as b; b.random_sd15(pathlib.Path(sys.argv[1]))"
            subprocess.run([sys.executable, "-c", make, folder], check=True, stderr=subprocess.DEVNULL)
        inputs = {
            "model": options.model or folder,
            "steps": options.steps,
            "width": options.size,
            "height": options.size,
        }
        one, two = (seconds(lanes, inputs, options.variants) for lanes in (1, 2))
    print("| model | variants | one lane, s | two lanes, s | efficiency |")
    print("|---|---|---|---|---|")
    name = options.model or "SD 1.5 in full size"
    told = f"{name}, {options.size} px, {options.steps} steps"
    print(f"| {told} | {options.variants} | {one:.1f} | {two:.1f} | {one / two / 2:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
