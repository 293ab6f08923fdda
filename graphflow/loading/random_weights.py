"""Random weights of networks that stand in for files which are not there."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from graphflow.loading.mapped import MappedTensors

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Part


def tensors_of(part: Part, like: Mapping[str, Tensor] | Mapping[str, torch.Size]) -> MappedTensors | RandomTensors:
    """Where the tensors of a part come from: its files, or chance where none is there.

    Args:
        part: The part.
        like: Its tensors by the names of its class, or their shapes.

    Raises:
        ModelFormatError: As :class:`graphflow.loading.mapped.MappedTensors`.
    """
    return RandomTensors(part, like) if part.stands_for else MappedTensors(part, like)


class RandomTensors:
    """Tensors of a part, as :class:`graphflow.loading.mapped.MappedTensors` gives those of files.

    Each depends on its name, its shape and the name of the file only. They keep the size of what goes through them:
    deviation 1 / sqrt(inputs), factors of norms about 1, what is added about 0.

    Args:
        part: What they are for.
        like: Its tensors without weights, of which buffers have their values already, parameters never: those that torch did
            not leave empty hold chance; or their shapes.
    """

    def __init__(self, part: Part, like: Mapping[str, Tensor] | Mapping[str, torch.Size]) -> None:
        self.where = part.stands_for
        self._like = like

    def read(self, name: str) -> Tensor:
        """One tensor."""
        like = self._like[name]
        if isinstance(like, Tensor):
            if like.device.type != "meta" and not isinstance(like, nn.Parameter):
                return like
            if not like.is_floating_point():
                return torch.zeros(like.shape, dtype=like.dtype)
            like = like.shape
        return draw(f"{self.where}/{name}", like, norm=name.rpartition(".")[2] in ("weight", "gamma", "running_var"))

    def packed(self, name: str) -> Tensor:
        """One tensor; none is packed."""
        return self.read(name)

    def key(self, name: str) -> str:
        """Its name."""
        return name

    def tell_unused(self, notice: Callable[[str], None]) -> None:
        """Say nothing: no tensor is."""


def draw(seed: str, shape: torch.Size, *, norm: bool = True) -> Tensor:
    """A random weight, float32.

    Args:
        seed: What it depends on.
        shape: Its shape.
        norm: Whether one of a single axis is a norm's factors, not what is added.
    """
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big") >> 1)
    numbers = torch.randn(shape, generator=generator)
    if len(shape) < 2 or math.prod(shape[1:]) == 1:
        return 1 + 0.05 * numbers if norm else 0.02 * numbers
    return numbers / math.sqrt(math.prod(shape[1:]))
