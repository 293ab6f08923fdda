"""Time and weights of FLUX.1's blocks in quantised formats, against the same blocks in bfloat16.

One double and one single block of full width with random weights, 1,024 tokens of a picture and 512 of a prompt, one
thread; seconds are the process's own, the best of two, bfloat16 measured beside each format.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file

from graphflow.loading.mapped import MappedFiles
from graphflow.loading.quantised.packed import PackedWeight, can_hold, hold
from graphflow.loading.quantising import is_chosen, quantised

FORMATS = ("fp8_scaled", "int8", "int8_convrot", "mxfp8", "nvfp4", "gguf:Q8_0", "gguf:Q4_K")
TOKENS = 1_024


def inputs() -> dict[str, torch.Tensor]:
    """Random inputs of one evaluation."""
    made = {
        "hidden_states": torch.randn(1, TOKENS, 64),
        "encoder_hidden_states": torch.randn(1, 512, 4096),
        "pooled_projections": torch.randn(1, 768),
        "timestep": torch.tensor([0.5]),
        "guidance": torch.tensor([3.5]),
    }
    ids = {"img_ids": torch.zeros(TOKENS, 3), "txt_ids": torch.zeros(512, 3)}
    return {name: tensor.bfloat16() for name, tensor in made.items()} | ids


def blocks() -> FluxTransformer2DModel:
    """The network, in bfloat16."""
    return FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True).bfloat16().eval()


def packed(source: Path, target: str) -> tuple[FluxTransformer2DModel, int]:
    """The network of a file with its layers in a format, and the bytes of these."""
    pieces, _ = quantised(MappedFiles([source], source.name), target, is_chosen, architecture="flux")
    path = source.with_name("packed.gguf" if target.startswith("gguf") else "packed.safetensors")
    path.write_bytes(b"".join(pieces))
    files, network, size = MappedFiles([path], path.name), blocks(), 0
    for name in files.names:
        module, weight = network.get_submodule(name.rpartition(".")[0]), files.read(name)
        if isinstance(weight, PackedWeight) and can_hold(module, name.rpartition(".")[2]):
            weight.dtype = torch.bfloat16
            hold(module, weight)
            size += weight.bytes
    return network, size


def best(work: Callable[[], object]) -> float:
    """Seconds of the processor, the better of two runs."""
    seconds = []
    for _ in range(2):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main(formats: tuple[str, ...] = FORMATS) -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    given, plain = inputs(), blocks()
    print("| format | weights of the layers, of bfloat16 | time, of bfloat16 |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        source = Path(folder) / "blocks.safetensors"
        save_file(plain.state_dict(), source)
        whole = sum(2 * w.numel() for name, w in plain.state_dict().items() if is_chosen(name, tuple(w.shape)))
        plain(**given)
        for target in formats:
            network, size = packed(source, target)
            ratio = best(lambda network=network: network(**given)) / best(lambda: plain(**given))
            print(f"| {target} | {size / whole:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or FORMATS)
