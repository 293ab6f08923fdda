"""Loaded modules as tensors in the layout of the models' authors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphflow.families.flow.names import TableNames
from graphflow.modelfiles.family import Rows


def original_tensors(module: nn.Module, names: TableNames, prefix: str) -> dict[str, Tensor]:
    """A module's tensors as its authors have them.

    Args:
        module: The module.
        names: How its tensors are called.
        prefix: What their names begin with.
    """
    tensors: dict[str, Tensor] = {}
    shared: dict[str, dict[int, Tensor]] = {}
    for name, tensor in module.state_dict().items():
        key, change = names.in_file(name, tensor.ndim)
        match change:
            case Rows(first, _, _):
                shared.setdefault(key, {})[first] = tensor
            case "swap_halves":
                tensors[key] = torch.cat(tensor.chunk(2)[::-1])
            case _:
                tensors[key] = tensor
    tensors |= {key: torch.cat([rows[first] for first in sorted(rows)]) for key, rows in shared.items()}
    return {prefix + key: tensor for key, tensor in tensors.items()}
