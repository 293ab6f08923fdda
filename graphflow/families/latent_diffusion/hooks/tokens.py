"""Token merging (Bolya and Hoffman 2023, arXiv:2303.17604): self-attention on fewer tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.families.latent_diffusion.hooks.modules import (
    LatentSize,
    around_self_attention,
    removing,
    self_attentions,
    tell_if_idle,
)

_CELL = 2
"""Edge of the cells of which one token each is kept to merge into."""


@contextmanager
def merge_tokens(unet: Any, ratio: float, generator: torch.Generator) -> Iterator[None]:
    """Merge a share of the tokens before the outermost level's self-attention, until the block ends.

    Args:
        unet: The network.
        ratio: Share of the tokens, 0 to 1; what cannot be merged (a quarter) stays.
        generator: Draws which tokens are kept.
    """
    tell_if_idle(unet, 0, "merge_tokens")
    size = LatentSize()

    def enter(tokens: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]] | None:
        level = size.level(tokens.shape[1], 0)
        count = int(tokens.shape[1] * ratio)
        if level is None or count == 0 or min(level[1:]) < _CELL:
            return None
        return merge(tokens, kept_places(level[1], level[2], generator), count)

    handles = [handle for layer in self_attentions(unet) for handle in around_self_attention(layer, enter)]
    with removing(size.watch(unet), *handles):
        yield


def kept_places(height: int, width: int, generator: torch.Generator) -> Tensor:
    """One drawn token of every whole 2 x 2 cell, as places in the row-major grid."""
    rows, columns = height // _CELL, width // _CELL
    drawn = torch.randint(_CELL * _CELL, (rows, columns), generator=generator)
    row = torch.arange(rows)[:, None] * _CELL + drawn // _CELL
    column = torch.arange(columns)[None] * _CELL + drawn % _CELL
    return (row * width + column).flatten()


def merge(tokens: Tensor, kept: Tensor, count: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Average the tokens that are most like a kept one into it.

    Args:
        tokens: (B, T, C).
        kept: (K,) places of the kept tokens.
        count: How many of the others are merged, at most T - K.

    Returns:
        Tokens (B, T - count, C), and the way back, which gives merged tokens the value of the one they went into.
    """
    total = tokens.shape[1]
    mask = torch.ones(total, dtype=torch.bool)
    mask[kept] = False
    others = mask.nonzero().flatten().to(tokens.device)
    kept = kept.to(tokens.device)
    unit = functional.normalize(tokens.float(), dim=-1)
    likeness, nearest = (unit[:, others] @ unit[:, kept].transpose(1, 2)).max(dim=-1)
    count = min(count, len(others))
    order = likeness.argsort(dim=-1, descending=True)
    merged, single = order[:, :count], order[:, count:]
    into = nearest.gather(1, merged)

    def rows(of: Tensor, places: Tensor) -> Tensor:
        return of.gather(1, places[..., None].expand(-1, -1, of.shape[-1]))

    source, target = tokens[:, others], tokens[:, kept]
    target = target.scatter_reduce(
        1, into[..., None].expand(-1, -1, tokens.shape[-1]), rows(source, merged), reduce="mean", include_self=True
    )
    shorter = torch.cat([rows(source, single), target], dim=1)

    def back(output: Tensor) -> Tensor:
        alone = total - len(kept) - count
        own, shared = output[:, :alone], output[:, alone:]
        full = output.new_empty(len(output), total, output.shape[-1])
        full[:, kept] = shared
        spread = (*single.shape, output.shape[-1])
        full.scatter_(1, others[single][..., None].expand(spread), own)
        full.scatter_(1, others[merged][..., None].expand(-1, -1, output.shape[-1]), rows(shared, into))
        return full

    return shorter, back
