"""The node that the toy family brings along."""

from __future__ import annotations

from graphflow import node
from graphflow.values import Latent


@node("empty_toy_latent")
def empty_toy_latent(width: int = 32, height: int = 16, length: int = 6) -> Latent:
    """Make an empty picture with its sound."""
    import torch

    picture = torch.zeros(1, 5, height // 8, width // 8)
    return Latent(samples=picture, further={"sound": torch.zeros(1, 2, length)}, family="toy")
