"""Opening and planning with a quantised file of FLUX.1 in full size: twelve gigabytes of which only the header is there.

The file is sparse: whoever read its weights would read zeros for seconds. Seconds are the least of five, each with a new
library and session; the other models of the workflow are stand-ins.
"""

from __future__ import annotations

import json
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel

import graphflow
from graphflow import workflows
from graphflow.settings import Settings


def write_sparse(path: Path) -> int:
    """Write the header of scaled fp8 weights and nothing behind it; returns the file's size in bytes."""
    with torch.device("meta"):
        state = FluxTransformer2DModel(guidance_embeds=True).state_dict()
    header: dict[str, Any] = {}
    place = 0
    for name, dtype, shape, size in _tensors(state):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place + size]}
        place += size
    layers = {name.removesuffix(".weight_scale"): {"format": "float8_e4m3fn"} for name in header if "scale" in name}
    header["__metadata__"] = {"_quantization_metadata": json.dumps({"format_version": "1.0", "layers": layers})}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + place)
    return path.stat().st_size


def _tensors(state: dict[str, torch.Tensor]) -> Iterator[tuple[str, str, list[int], int]]:
    for name, tensor in state.items():
        if name.endswith(".weight") and tensor.ndim == 2 and "blocks." in name:
            yield name, "F8_E4M3", list(tensor.shape), tensor.numel()
            yield f"{name}_scale", "F32", [], 4
        else:
            yield name, "BF16", list(tensor.shape), 2 * tensor.numel()


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = write_sparse(root / "diffusion_models" / "flux_fp8.safetensors")
        rows: list[tuple[float, float]] = []
        for _ in range(5):
            settings = Settings(models=(root,), cache_dir=root / "cache", offline=True, device="cpu", stand_in=True)
            with graphflow.Session(settings) as session:
                workflow = graphflow.Workflow.load(workflows.path("flux"))
                start = time.perf_counter()
                session.library.describe("flux_fp8")
                opened = time.perf_counter()
                session.plan(workflow, {"model": "flux_fp8"})
                rows.append((opened - start, time.perf_counter() - opened))
    print(f"| file of {size / 1e9:.1f} GB | seconds |\n|---|---|")
    for name, column in zip(("open", "plan"), zip(*rows, strict=True), strict=True):
        print(f"| {name} | {min(column):.3f} |")


if __name__ == "__main__":
    main()
