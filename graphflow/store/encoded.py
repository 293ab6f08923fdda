"""What the tiers exchange with their callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from pydantic import JsonValue

__all__ = ["Encoded", "StoreStats", "Stored"]


@dataclass(frozen=True)
class Encoded:
    """A value as it looks on disk or on a wire.

    Attributes:
        kind: Registered name of the value's type, e.g. ``latent``.
        data: Its description as JSON without NaN or infinities.
        tensors: Its dense tensors by name; on the CPU and contiguous. Any name but ``__metadata__``.
        made: How it came about, as JSON: what no key tells, and which node of which workflow it was. None: not told.
    """

    kind: str
    data: JsonValue
    tensors: Mapping[str, torch.Tensor]
    made: JsonValue = None

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors together."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


@dataclass(frozen=True)
class Stored:
    """A value or file that the disk tier holds.

    Attributes:
        key: Its key.
        made: How it came about, as far as that was told: ``workflow``, ``node``, ``type``.
        nbytes: Bytes that it occupies.
        used: When it was used last, in seconds since 1970.
        pinned: Whether a pin keeps it.
    """

    key: str
    made: Mapping[str, JsonValue]
    nbytes: int
    used: float
    pinned: bool


@dataclass(frozen=True)
class StoreStats:
    """One tier's contents now, and what this process did with it.

    Attributes:
        entries: Values held.
        bytes: What they occupy; on disk in blocks of 4 KiB, with the objects.
        max_bytes: The budget.
        objects: Content-addressed files (disk only).
        hits: Reads that found a value.
        misses: Reads that found none.
        evicted: Values (memory) or files (disk) removed to keep the budget.
        damaged: Damaged entries found and removed (disk only).
        failed: Writes that the folder refused (disk only).
    """

    entries: int
    bytes: int
    max_bytes: int
    objects: int = 0
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    damaged: int = 0
    failed: int = 0
