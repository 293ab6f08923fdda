"""How many latents a network may get at once, by an estimate of the memory that they take."""

from __future__ import annotations

import torch

BYTES_PER_CHANNEL = 40
"""Numbers that a UNet holds at its peak for each latent sample and channel of its first level.

Stable Diffusion 1.5 holds 26 (what lives at once in a forward pass, counted on the CPU at 128 to 256 pixels) beside what
attention and convolutions need while they compute.
"""

FREE_SHARE = 0.8
"""Share of the free memory that one evaluation may take."""


def fitting_items(samples: int, width: int, dtype: torch.dtype, free: int | None) -> int | None:
    """How many items may be evaluated in one batch; at least 1.

    Args:
        samples: Latent samples of an item, h * w.
        width: Channels of the network's first level.
        dtype: Dtype it computes in.
        free: Bytes that are free; None where nobody knows.

    Returns:
        The number, or None for no limit.
    """
    if free is None:
        return None
    item = samples * width * dtype.itemsize * BYTES_PER_CHANNEL
    return max(1, int(free * FREE_SHARE / item))
