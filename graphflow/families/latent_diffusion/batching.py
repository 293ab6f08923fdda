"""The memory that a UNet takes while it computes, estimated."""

from __future__ import annotations

import torch

BYTES_PER_CHANNEL = 40
"""Numbers that a UNet holds at its peak for each latent sample and channel of its first level.

Stable Diffusion 1.5 holds 26 (what lives at once in a forward pass, counted on the CPU at 128 to 256 pixels) beside what
attention and convolutions need while they compute.
"""


def evaluation_bytes(samples: int, width: int, dtype: torch.dtype) -> int:
    """Return the bytes of one evaluation at its peak.

    Args:
        samples: Latent samples of an item, h * w.
        width: Channels of the network's first level.
        dtype: Dtype it computes in.
    """
    return int(samples * width * dtype.itemsize * BYTES_PER_CHANNEL)
