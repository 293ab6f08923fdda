"""The memory tier: Python values under a budget of bytes, least recently used out first."""

from __future__ import annotations

import threading
from collections import OrderedDict

from graphflow.store.encoded import StoreStats

__all__ = ["MemoryTier"]


class MemoryTier:
    """Values by key with the size that the caller states; safe to use from several threads.

    Args:
        max_bytes: The budget. 0 keeps only values of size 0.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"max_bytes must be >= 0, got {max_bytes}")
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._values: OrderedDict[str, tuple[object, int, object]] = OrderedDict()
        self._bytes = 0
        self._hits = self._misses = self._evicted = 0

    def get(self, key: str, default: object = None) -> object:
        """The value, now the most recently used, or ``default``."""
        with self._lock:
            held = self._values.get(key)
            if held is None:
                self._misses += 1
                return default
            self._values.move_to_end(key)
            self._hits += 1
            return held[0]

    def made(self, key: str) -> object:
        """How a value came about, as `put` was told; None if it is not held. Does not count as a use."""
        with self._lock:
            held = self._values.get(key)
            return None if held is None else held[2]

    def put(self, key: str, value: object, nbytes: int, made: object = None) -> bool:
        """Keep a value of ``nbytes`` bytes, and drop the least recently used ones beyond the budget.

        ``made`` tells how it came about.

        Returns:
            False if the value alone is larger than the budget; it is not kept then.
        """
        if nbytes < 0:
            raise ValueError(f"nbytes must be >= 0, got {nbytes}")
        dropped: list[object] = []  # released after the lock: a destructor may take long
        with self._lock:
            self._drop(key, dropped)
            if nbytes > self.max_bytes:
                return False
            self._values[key] = (value, nbytes, made)
            self._bytes += nbytes
            while self._bytes > self.max_bytes:
                self._drop(next(iter(self._values)), dropped)
                self._evicted += 1
        return True

    def contains(self, key: str) -> bool:
        """Whether the value is held; does not count as a use."""
        with self._lock:
            return key in self._values

    def evict(self, key: str) -> bool:
        """Drop one value; False if it was not held."""
        dropped: list[object] = []
        with self._lock:
            self._drop(key, dropped)
        return bool(dropped)

    def clear(self) -> None:
        """Drop every value."""
        with self._lock:
            dropped, self._values, self._bytes = self._values, OrderedDict(), 0
        dropped.clear()

    def stats(self) -> StoreStats:
        """Contents and counters."""
        with self._lock:
            return StoreStats(
                entries=len(self._values),
                bytes=self._bytes,
                max_bytes=self.max_bytes,
                hits=self._hits,
                misses=self._misses,
                evicted=self._evicted,
            )

    def _drop(self, key: str, dropped: list[object]) -> None:
        held = self._values.pop(key, None)
        if held is not None:
            self._bytes -= held[1]
            dropped.append(held)
