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


def picked(count: int, places: str) -> list[int]:
    """Places in a batch that numbers and slices name, as ``0, -1, 2:5, ::2``.

    Raises:
        ValueError: They are written wrongly, a number is outside, or there is none.
    """
    found: list[int] = []
    for part in filter(None, (part.strip() for part in places.split(","))):
        numbers = part.split(":")
        try:
            ends = [int(number) if number.strip() else None for number in numbers]
        except ValueError as error:
            raise ValueError(f"“{part[:40]}” is no number and no slice") from error
        if len(ends) > 3 or (len(ends) == 3 and ends[2] == 0):
            raise ValueError(f"“{part[:40]}” is no slice")
        if len(ends) > 1:
            found += range(count)[slice(*ends)]
        elif ends[0] is not None:
            if not -count <= ends[0] < count:
                raise ValueError(f"there is no item {ends[0]} among {count}")
            found.append(ends[0] % count)
    if not found:
        raise ValueError("no item is left")
    return found
