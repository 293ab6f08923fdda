"""Batches: taken apart, and brought to another number of items."""

from __future__ import annotations

from torch import Tensor


def cycled(tensor: Tensor, count: int) -> Tensor:
    """(K, ...) as (count, ...): too many are left out, too few begin again; K > 0."""
    if len(tensor) == count:
        return tensor
    if len(tensor) == 1:
        return tensor.expand(count, *tensor.shape[1:])
    repeats = -(-count // len(tensor))
    return tensor.repeat(repeats, *(1,) * (tensor.ndim - 1))[:count]


def last_repeated(tensor: Tensor, count: int) -> Tensor:
    """(K, ...) as (count, ...) by the last item again and again; K is from 1 to count."""
    return tensor[[min(place, len(tensor) - 1) for place in range(count)]]


def window(count: int, start: int, length: int) -> range:
    """Places of some items of a batch; a start behind the last one takes the last one."""
    start = min(start, count - 1)
    return range(start, min(start + length, count))
