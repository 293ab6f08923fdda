"""USO's style projector (Wu et al. 2025, arXiv:2508.18966); exported scripts carry this.

The architecture follows ByteDance's published code (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

STYLE_LAYERS = (-2, -11, -20)
"""Hidden layers of the image encoder that it reads, from what is shown to how it is drawn."""


class StyleProjector(ModelMixin):  # type: ignore[misc]  # diffusers is not followed
    """Tokens in a transformer's own width of three hidden layers of an image encoder.

    Args:
        reads: Tokens of a hidden layer.
        tokens: Tokens that are made of each.
        width: Width of the hidden layers.
        makes: Width of the transformer.
    """

    def __init__(self, *, reads: int, tokens: int, width: int, makes: int) -> None:
        super().__init__()
        self.reads, self.width = reads, width
        for level in ("high", "mid", "low"):
            mixed = nn.Sequential(nn.Linear(reads, tokens), nn.SiLU())
            setattr(self, f"{level}_embedding_linear", mixed)
            setattr(self, f"{level}_layer_norm", nn.LayerNorm(width))
            setattr(self, f"{level}_projection", nn.Linear(width, makes))

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Tokens (B, 3 n, C) of hidden layers (B, T, D) in the order of `STYLE_LAYERS`."""
        found = []
        for level, state in zip(("high", "mid", "low"), states, strict=True):
            state = state.to(self.device, self.dtype).transpose(1, 2)
            mixed = getattr(self, f"{level}_embedding_linear")(state)
            normed = getattr(self, f"{level}_layer_norm")(mixed.transpose(1, 2))
            found.append(getattr(self, f"{level}_projection")(normed))
        return torch.cat(found, dim=1)


def with_room(embeds: Tensor, tokens: Tensor) -> Tensor:
    """States of a text (B, T, D) with room for tokens (1, n, C) behind."""
    return functional.pad(embeds, (0, 0, 0, tokens.shape[1]))


@contextmanager
def reading_style(network: Any, tokens: Tensor) -> Iterator[None]:
    """Have a transformer read tokens (1, n, C) of its own width in place of the last of its text until the block ends."""

    def put(module: Any, given: Any, output: Tensor) -> Tensor:
        more = tokens.to(output).expand(len(output), -1, -1)
        return torch.cat([output[:, : -more.shape[1]], more], dim=1)

    hook = network.context_embedder.register_forward_hook(put)
    try:
        yield
    finally:
        hook.remove()
