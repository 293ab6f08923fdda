"""What a person wants to know of quantised weights: which layers are in which format, at how many bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from graphflow.modelfiles.header import TensorInfo
from graphflow.modelfiles.quantised.recognise import WIDE


@dataclass(frozen=True, slots=True)
class Group:
    """Weights of one format under one name.

    Attributes:
        name: What their names begin with, up to the first number: `double_blocks`, `encoder.block`.
        format: The format, or the dtype where they are not quantised.
        quantised: Whether they are.
        tensors: How many.
        bits: Bits for each weight, scales and all else that helps counted.
        bytes: All of them.
    """

    name: str
    format: str
    quantised: bool
    tensors: int
    bits: float
    bytes: int


def groups_of(tensors: Mapping[str, TensorInfo]) -> tuple[Group, ...]:
    """Group the tensors of a part; norms, biases and other vectors are one group for each dtype.

    Args:
        tensors: Of the part, without its prefix, as they would be unquantised.

    Returns:
        Quantised groups first, each kind largest first; nothing where no tensor is quantised.
    """
    found: dict[tuple[str, str], list[TensorInfo]] = {}
    for key, tensor in tensors.items():
        name = _VECTORS if len(tensor.shape) < 2 and tensor.dtype in WIDE else _stem(key)
        found.setdefault((name, tensor.dtype), []).append(tensor)
    groups = [_group(name, dtype, members) for (name, dtype), members in found.items()]
    if not any(group.quantised for group in groups):
        return ()
    return tuple(sorted(groups, key=lambda group: (not group.quantised, -group.bytes, group.name)))


def _group(name: str, dtype: str, members: list[TensorInfo]) -> Group:
    size = sum(tensor.size for tensor in members)
    weights = sum(math.prod(tensor.shape) for tensor in members)
    return Group(name, dtype, dtype not in WIDE, len(members), 8 * size / max(1, weights), size)


def _stem(key: str) -> str:
    """The words before the first number; of a layer outside of all blocks, its first name."""
    words = key.split(".")
    number = next((place for place, word in enumerate(words) if word.isdecimal()), 0)
    return ".".join(words[:number]) or words[0]


_VECTORS = "norms, biases and other vectors"
