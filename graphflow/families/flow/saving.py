"""Loaded modules as tensors in the layout of the models' authors."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from graphflow.families.flow.encoder_file import EncoderFile
from graphflow.families.flow.family import FlowFamily
from graphflow.modelfiles.families import installed
from graphflow.modelfiles.family import Change, Rows


class NamesInFiles(Protocol):
    """How the tensors of a class are called in files."""

    def in_file(self, name: str, axes: int) -> tuple[str, Change]:
        """Return what files call a class's tensor, and what of theirs it is."""
        ...


def flow_families() -> list[FlowFamily]:
    """The families of flow transformers."""
    return [family for family in installed().values() if isinstance(family, FlowFamily)]


def encoder_file(class_name: str) -> EncoderFile:
    """How files hold a language model of a class."""
    files = (file for family in flow_families() for file in family.texts.values())
    return next(file for file in files if class_name in file.classes)


def original_tensors(module: nn.Module, names: NamesInFiles, prefix: str) -> dict[str, Tensor]:
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
