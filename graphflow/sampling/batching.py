"""How many latents are evaluated at once, by the memory that they take."""

from __future__ import annotations

FREE_SHARE = 0.8
"""Share of the free memory that one evaluation may take."""


def fitting_items(each: int, free: int | None) -> int | None:
    """Return how many items may be evaluated in one batch, at least 1; None for no limit.

    Args:
        each: Bytes that an item takes.
        free: Bytes that are free; None where nobody knows.
    """
    return None if free is None else max(1, int(free * FREE_SHARE / each))
