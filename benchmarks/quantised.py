"""Peak memory and time of networks in quantised formats, against bfloat16 and against Diffusers' own GGUF layers.

    python -m benchmarks.quantised [CASE ...] [--list] [--fresh]

FLUX.1's and Qwen-Image's transformers in full width with the first of their blocks, and Stable Diffusion 1.5's UNet whole,
with random weights: one evaluation of 1,024 tokens of a picture (512 x 512 pixels of the UNet, whose inner layers see
fewer), one thread. The memory is a fresh process's peak resident set less what it had with everything imported: mapped
pages of the file count once they are touched. That of the whole network is this and the bytes of the blocks that were left
out. Times are the process's own seconds, three evaluations of each taking turns in one process, of which the median ratio.

``CASE`` names cases: ``FLUX.1/nvfp4/bfloat16`` one of them, ``FLUX.1`` all that begin so. What a case gave is kept in
``build/benchmarks/quantised`` until the loading's source changes, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, cast
from unittest.mock import patch

import torch
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel, UNet2DConditionModel
from diffusers.models.model_loading_utils import load_gguf_checkpoint
from diffusers.quantizers.gguf.utils import GGUFParameter, _replace_with_gguf_linear
from safetensors.torch import save_file
from torch import Tensor, nn

import graphflow.loading
from graphflow.loading.mapped import MappedFiles
from graphflow.loading.modules import LoadedPart
from graphflow.loading.quantised.encoding import ENCODERS, Encoder
from graphflow.loading.quantised.gguf_encoding import ENCODERS as BLOCKS
from graphflow.loading.quantising import is_chosen, quantised
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.formats import read_header

EDGE, TEXT = 32, 512
MIB = 2**20
KEPT = Path(__file__).parents[1] / "build" / "benchmarks" / "quantised"
_ROWS, _BLOCKS = 128, 1_024


@dataclass(frozen=True)
class Network:
    """A network that is measured.

    Attributes:
        cls: Its class.
        config: What is not that class's default.
        inputs: Random inputs of one evaluation.
        part: What it is in a model.
        family: Whose it is.
        formats: What it is measured in.
        architecture: What GGUF files call it.
        blocks: By the option that tells how many blocks there are, what their names begin with, and how many there are in
            the whole network.
    """

    cls: Any
    config: dict[str, Any]
    inputs: Callable[[], dict[str, Any]]
    part: str
    family: str
    formats: tuple[str, ...]
    architecture: str
    blocks: dict[str, tuple[str, int]] = field(default_factory=dict)


def _flux() -> dict[str, Any]:
    return _half(
        {
            "hidden_states": torch.randn(1, EDGE * EDGE, 64),
            "encoder_hidden_states": torch.randn(1, TEXT, 4096),
            "pooled_projections": torch.randn(1, 768),
            "timestep": torch.tensor([0.5]),
            "guidance": torch.tensor([3.5]),
        }
    ) | {"img_ids": torch.zeros(EDGE * EDGE, 3), "txt_ids": torch.zeros(TEXT, 3)}


def _qwen() -> dict[str, Any]:
    given = _half(
        {
            "hidden_states": torch.randn(1, EDGE * EDGE, 64),
            "encoder_hidden_states": torch.randn(1, TEXT, 3584),
            "timestep": torch.tensor([0.5]),
        }
    )
    return given | {"img_shapes": [[(1, EDGE, EDGE)]], "encoder_hidden_states_mask": torch.ones(1, TEXT).long()}


def _unet() -> dict[str, Any]:
    return _half(
        {
            "sample": torch.randn(1, 4, 2 * EDGE, 2 * EDGE),
            "timestep": torch.tensor([500.0]),
            "encoder_hidden_states": torch.randn(1, 77, 768),
        }
    )


def _half(given: dict[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.bfloat16() for name, tensor in given.items()}


FORMATS = ("fp8_scaled", "int8", "int8_convrot", "nvfp4", "gguf:Q8_0", "gguf:Q4_K")
NETWORKS = {
    "FLUX.1": Network(
        FluxTransformer2DModel,
        {"num_layers": 1, "num_single_layers": 1, "guidance_embeds": True},
        *(_flux, "transformer", "flux", FORMATS, "flux"),
        {"num_layers": ("transformer_blocks.0.", 19), "num_single_layers": ("single_transformer_blocks.0.", 38)},
    ),
    "Qwen-Image": Network(
        QwenImageTransformer2DModel,
        {"num_layers": 1},
        *(_qwen, "transformer", "qwen_image", ("fp8_scaled", "int8", "nvfp4", "gguf:Q4_K"), "qwen_image"),
        {"num_layers": ("transformer_blocks.0.", 60)},
    ),
    "SD 1.5 UNet": Network(
        UNet2DConditionModel,
        {"cross_attention_dim": 768},
        *(_unet, "unet", "sd", ("fp8", "gguf:Q8_0", "gguf:Q4_K"), "sd1"),
    ),
}


def write_source(network: Network, path: Path) -> None:
    """Write random weights in bfloat16."""
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = network.cls.from_config(network.config).state_dict()
    few = torch.randn(1_000_003).mul_(0.02).bfloat16()
    tensors = {name: few.repeat(1 + one.numel() // len(few))[: one.numel()] for name, one in shapes.items()}
    save_file({name: tensor.view(shapes[name].shape).clone() for name, tensor in tensors.items()}, path)


def write_format(network: Network, source: Path, target: str) -> Path:
    """Write a file in a format beside its source; of each weight a part is encoded and repeated, to save time."""
    with (
        patch.dict(cast("dict[str, Encoder]", ENCODERS), {name: _repeated(one) for name, one in ENCODERS.items()}),
        patch.dict(cast("dict[str, Any]", BLOCKS), {name: _repeated_blocks(one) for name, one in BLOCKS.items()}),
    ):
        pieces, _ = quantised(MappedFiles([source], source.name), target, is_chosen, architecture=network.architecture)
    path = source.with_name(f"{target.replace(':', '-')}.{'gguf' if target.startswith('gguf') else 'safetensors'}")
    with path.open("wb") as file:
        file.writelines(pieces)
    return path


def _repeated(encoder: Encoder) -> Encoder:
    def encode(weight: Tensor) -> Any:
        tensors, marker = encoder.encode(weight[:_ROWS])
        times = len(weight) // _ROWS if len(weight) % _ROWS == 0 else 0
        if not times:
            return encoder.encode(weight)
        repeated = {
            name: tensor if tensor.ndim == 0 else tensor.repeat(times, *[1] * (tensor.ndim - 1))
            for name, tensor in tensors.items()
        }
        return repeated, marker

    return replace(encoder, encode=encode)


def _repeated_blocks(encode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def encoded(values: Tensor) -> Tensor:
        times = len(values) // _BLOCKS if len(values) % _BLOCKS == 0 else 0
        return encode(values[:_BLOCKS]).repeat(times, 1) if times else encode(values)

    return encoded


def opened(network: Network, path: Path, reader: str) -> nn.Module:
    """A network with the weights of a file, read by `graphflow` or `diffusers`."""
    if reader == "graphflow":
        part = Part(network.part, network.cls.__name__, _config(network), files=(path,), maker=network.family)
        return LoadedPart(part, torch.bfloat16).module
    state = load_gguf_checkpoint(str(path))
    with torch.device("meta"):
        module = network.cls.from_config(network.config).eval()
    _replace_with_gguf_linear(module, torch.bfloat16, state)
    for name, tensor in state.items():
        owner, _, leaf = name.rpartition(".")
        plain = not isinstance(tensor, GGUFParameter)
        module.get_submodule(owner)._parameters[leaf] = (
            nn.Parameter(tensor.bfloat16(), requires_grad=False) if plain else tensor
        )
    return module


def _config(network: Network) -> dict[str, Any]:
    with torch.device("meta"):
        config = dict(network.cls.from_config(network.config).config)
    return {name: value for name, value in config.items() if not name.startswith("_")}


def peak(network: Network, path: Path, reader: str) -> float:
    """MiB that a network and one evaluation take in this process at their peak."""
    given = network.inputs()
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak begins anew, without what imports took
    before = _resident("VmRSS")
    with torch.inference_mode():
        opened(network, path, reader)(**given)
    return (_resident("VmHWM") - before) / 1024


def _resident(name: str) -> int:
    """KiB of this process's memory, as Linux tells."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def left_out(network: Network, path: Path) -> float:
    """MiB of the blocks that the whole network has more, which stand in memory as in the file."""
    tensors, total = read_header(path).tensors, 0
    for option, (prefix, whole) in network.blocks.items():
        size = sum(tensor.size for name, tensor in tensors.items() if name.startswith(prefix))
        total += (whole - network.config[option]) * size
    return total / MIB


def time_ratio(network: Network, files: list[tuple[Path, str]]) -> float:
    """Seconds of the first network over those of the second."""
    given = network.inputs()
    ratios = []
    with torch.inference_mode():
        networks = [opened(network, *one) for one in files]
        for _ in range(3):
            seconds = []
            for one in networks:
                start = time.process_time()
                one(**given)
                seconds.append(time.process_time() - start)
            ratios.append(seconds[0] / seconds[1])
    return median(ratios)


def _asked(*arguments: str | Path) -> float:
    """A number that a fresh process measures."""
    line = [sys.executable, "-m", "benchmarks.quantised", "--one", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, env=environment, text=True)
    return float(done.stdout.splitlines()[-1])


def cases() -> list[str]:
    """Networks, formats, and what they are compared with."""
    return [
        f"{name}/{target}/{peer}"
        for name, network in NETWORKS.items()
        for target in network.formats
        for peer in ("bfloat16", "diffusers")
        if peer == "bfloat16" or (target.startswith("gguf") and network.part == "transformer")
    ]


def measure(case: str) -> str:
    """A row of the table."""
    name, target, peer = case.split("/")
    network = NETWORKS[name]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.safetensors"
        write_source(network, source)
        path = write_format(network, source, target)
        files = [(path, "graphflow"), (source, "graphflow") if peer == "bfloat16" else (path, "diffusers")]
        peaks = [_asked("peak", name, *one) for one in files]
        ratio = _asked("time", name, *(part for one in files for part in one))
        own, other = (taken + left_out(network, file) for taken, (file, _) in zip(peaks, files, strict=True))
        size = path.stat().st_size / MIB
    cells = [*(f"{number:.0f}" for number in (size, *peaks)), f"{own / other:.2f}", f"{ratio:.2f}"]
    return f"| {name} | {target} | {peer} | {' | '.join(cells)} |"


def _digest() -> str:
    """Of all that decides the numbers."""
    sources = [Path(__file__), *sorted(Path(graphflow.loading.__file__).parent.rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", help="all by default")
    parser.add_argument("--list", action="store_true", help="print the names of all cases")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args([] if arguments is None else arguments)
    torch.set_num_threads(1)
    if options.one:
        what, name, *rest = options.one
        files = [(Path(path), reader) for path, reader in zip(rest[0::2], rest[1::2], strict=True)]
        print(peak(NETWORKS[name], *files[0]) if what == "peak" else time_ratio(NETWORKS[name], files))
        return
    chosen = [one for one in cases() if not options.case or one.startswith(tuple(options.case))]
    if options.list or not chosen:
        print("\n".join(cases()))
        sys.exit(0 if options.list else "no case begins so")
    print(
        "| network | format | against | file, MiB | peak, MiB | theirs, MiB | whole network, of theirs | time, of theirs |"
    )
    print("|---|---|---|---|---|---|---|---|")
    KEPT.mkdir(parents=True, exist_ok=True)
    digest = _digest()
    for case in chosen:
        kept = KEPT / re.sub(r"[^\w.]", "-", case)
        known = kept.read_text("utf-8").split("\n", 1) if kept.exists() and not options.fresh else []
        row = known[1] if known[:1] == [digest] else measure(case)
        kept.write_text(f"{digest}\n{row}", "utf-8")
        print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
