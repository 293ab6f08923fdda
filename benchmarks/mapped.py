"""One step of a whole FLUX.1 dev or Qwen-Image on the CPU, from a mapped file that is larger than the main memory in use.

The file is sparse, so it takes no disk: all weights are zero, in bfloat16 and in the authors' layout. What is told is the
most anonymous memory (which the system cannot take back, as it can pages of a mapped file) that the process had beside the
size of the weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.transformers import NETWORKS

GIB = 2**30
WHOLE: dict[str, dict[str, Any]] = {"flux": {"guidance_embeds": True}, "qwen_image": {}}
"""The published transformers, where Diffusers' classes have other defaults."""


def write_sparse(family: str, path: Path, *, few: bool) -> int:
    """Write a transformer of zeros, whole or with few blocks, without taking disk; return its bytes."""
    import diffusers
    import torch

    from graphflow.sampling.prediction import ModelSampling

    network = NETWORKS[family]
    known = import_module(f"graphflow.families.{family}.family").FAMILY
    with torch.device("meta"):
        module = getattr(diffusers, known.transformer)(**(network.config if few else WHOLE[family]))
    wrap = getattr(import_module(f"graphflow.families.{family}.denoiser"), network.denoiser)
    denoiser = wrap(
        module=module.to(torch.bfloat16),
        model_sampling=ModelSampling.flow(),
        latent=known.latent,
        device=torch.device("meta"),
        dtype=torch.bfloat16,
    )
    end, header = 0, {}
    for name, tensor in denoiser.file_tensors()[0].items():
        start, end = end, end + 2 * tensor.numel()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [start, end]}
    told = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(told).to_bytes(8, "little") + told)
        file.truncate(8 + len(told) + end)
    return end


def anonymous() -> int:
    """Bytes of anonymous memory that this process has."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


def one_step(family: str, folder: Path, size: int) -> tuple[int, float]:
    """Sample one step from the file; return the most anonymous bytes and the seconds it took."""
    import torch

    from graphflow import nodes, runtime
    from graphflow.library.library import Library
    from graphflow.loading.manager import ModelManager
    from graphflow.settings import RootSetting, Settings
    from graphflow.values import Conditioning, ConditioningEntry

    network, most, done = NETWORKS[family], [anonymous()], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            most[0] = max(most[0], anonymous())

    told = Conditioning(
        entries=(
            ConditioningEntry(
                embedding=torch.zeros(1, *network.text),
                pooled=torch.zeros(1, network.pooled) if network.pooled else None,
            ),
        )
    )
    settings = Settings(
        models=(RootSetting(path=folder),), cache_dir=folder / "cache", offline=True, device="cpu", dtype="bfloat16"
    )
    models = ModelManager.for_devices(Library(settings), settings)[0]
    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        with runtime.using(runtime.Runtime(models=models)):
            latent = nodes.empty_latent(width=size, height=size, channels=16)
            nodes.sample(
                nodes.load_diffusion_model(f"{family}.safetensors"), told, latent, None, seed=0, steps=1,
                guidance_scale=1.0, sampler="euler", schedule="simple",
            )  # fmt: skip
    finally:
        done.set()
        watcher.join()
    return most[0], time.perf_counter() - start


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", choices=tuple(WHOLE), default=tuple(WHOLE))
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--few", action="store_true", help="a few blocks alone, to see that it works")
    given = parser.parse_args([] if arguments is None else arguments)
    told = "a few blocks of the" if given.few else "whole"
    print(f"| {told} transformer | weights, GiB | most anonymous memory, GiB | one step, s |")
    print("|---|---|---|---|", flush=True)
    for family in given.families:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            (folder / "diffusion_models").mkdir()
            size = write_sparse(family, folder / "diffusion_models" / f"{family}.safetensors", few=given.few)
            most, seconds = one_step(family, folder, given.size)
            print(f"| {family} | {size / GIB:.1f} | {most / GIB:.2f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
