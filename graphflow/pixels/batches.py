"""Tensors for another number of items."""

from __future__ import annotations

from torch import Tensor


def cycled(tensor: Tensor, count: int) -> Tensor:
    """(K, ...) as (count, ...): too many items are left out, too few begin again after the last one; K is at least 1."""
    if len(tensor) == count:
        return tensor
    if len(tensor) == 1:
        return tensor.expand(count, *tensor.shape[1:])
    repeats = -(-count // len(tensor))
    return tensor.repeat(repeats, *(1,) * (tensor.ndim - 1))[:count]
