"""Differences of models as LoRA layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_OVERSAMPLE = 10
_ITERATIONS = 4


def extract_lora(
    module: nn.Module,
    prefix: str,
    rank: int,
    notice: Callable[[str], None],
    *,
    rename: Callable[[str], str] = str,
) -> dict[str, Tensor]:
    """The best approximation of each weight by a product of two matrices, in the layout of kohya.

    Args:
        module: Holds differences for weights.
        prefix: How names begin, e.g. `lora_unet`.
        rank: Columns of the first matrix; less where a weight is smaller.
        notice: Tells the user what a LoRA cannot hold.
        rename: From a module's name to the name that files have for it.

    Returns:
        `lora_up`, `lora_down` and `alpha` of each linear layer and convolution that differs.
    """
    tensors: dict[str, Tensor] = {}
    left_out = 0
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    for name, tensor in module.named_parameters():
        owner, _, leaf = name.rpartition(".")
        if owner not in layers or leaf != "weight":
            left_out += bool(tensor.any())
            continue
        if not bool(tensor.any()):
            continue
        up, down = factors(tensor.float(), rank)
        key = f"{prefix}_{rename(owner).replace('.', '_')}"
        tensors |= {
            f"{key}.lora_up.weight": up,
            f"{key}.lora_down.weight": down,
            f"{key}.alpha": torch.tensor(float(len(down))),
        }
    if left_out:
        notice(f"{left_out} biases, normalisations and embeddings differ, too; a LoRA cannot hold them")
    return tensors


def factors(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Two factors (out, r, …ones) and (r, in, …kernel) whose product is nearest to a weight (out, in, …kernel).

    By randomised subspace iteration (Halko et al. 2009, arXiv:0909.4061) from a fixed seed.
    """
    matrix = weight.flatten(1)
    rank = min(rank, *matrix.shape)
    generator = torch.Generator().manual_seed(0)
    width = min(rank + _OVERSAMPLE, *matrix.shape)
    basis = torch.randn(matrix.shape[1], width, generator=generator).to(matrix)
    for _ in range(_ITERATIONS):
        # Each round turns the basis towards the largest singular values.
        basis, _ = torch.linalg.qr(matrix.T @ torch.linalg.qr(matrix @ basis)[0])
    u, s, v = torch.linalg.svd(matrix @ basis, full_matrices=False)
    root = s[:rank].sqrt()
    up, down = u[:, :rank] * root, (v @ basis.T)[:rank] * root[:, None]
    return up.reshape(*up.shape, *(1,) * (weight.ndim - 2)), down.reshape(rank, *weight.shape[1:])
