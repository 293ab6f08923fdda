"""What nodes on batches of latents and of pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphflow.errors import InvalidInputError, LimitError
from graphflow.limits import LIMITS

if TYPE_CHECKING:
    import torch


def require_batch(count: int) -> None:
    """Refuse batches that are too large.

    Raises:
        LimitError: There are more items than the limits allow.
    """
    if count > LIMITS.batch:
        raise LimitError(f"a batch of {count:,} is larger than {LIMITS.batch:,}")


def window(count: int, start: int, length: int) -> range:
    """Return the items that ``length`` items from ``start`` on are, in a batch of ``count``.

    Raises:
        InvalidInputError: The batch is empty.
    """
    if not count:
        raise InvalidInputError("the batch is empty")
    start = min(start, count - 1)
    return range(start, min(start + length, count))


def cycle_to(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """Bring (B, …) to ``count`` items, beginning again after the last one.

    Raises:
        InvalidInputError: There are no items to repeat.
    """
    from graphflow.pixels.batches import cycled

    if not tensor.shape[0] and count:
        raise InvalidInputError("the batch is empty")
    return cycled(tensor, count)
