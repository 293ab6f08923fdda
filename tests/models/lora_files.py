"""LoRA files of random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def pair(out: int, into: int, rank: int = 2, kernel: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tail = (kernel, kernel) if kernel else ()
    ones = (1, 1) if kernel else ()
    down = torch.randn(rank, into, *tail, generator=generator) * 0.1
    return down, torch.randn(out, rank, *ones, generator=generator) * 0.1


def write(folder: Path, name: str, tensors: dict[str, Tensor]) -> None:
    (folder / "loras").mkdir(exist_ok=True)
    save_file(
        {key: tensor.clone(memory_format=torch.contiguous_format) for key, tensor in tensors.items()},
        folder / "loras" / f"{name}.safetensors",
    )
