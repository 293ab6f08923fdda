"""Self-attention inside tiles, after HyperTile (T. Fernandes 2023, github.com/tfernd/HyperTile, MIT)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphflow.families.latent_diffusion.hooks.modules import (
    LatentSize,
    around_self_attention,
    removing,
    self_attentions,
    tell_if_idle,
)

if TYPE_CHECKING:
    from graphflow.values.network_hooks import HyperTile


@contextmanager
def hypertile(unet: Any, hook: HyperTile, generator: torch.Generator) -> Iterator[None]:
    """Tile the self-attention of the outer levels until the block ends; the divisions are drawn from `generator`."""
    tell_if_idle(unet, hook.max_depth, "hypertile")
    size = LatentSize()

    def enter(tokens: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]] | None:
        found = size.level(tokens.shape[1], hook.max_depth)
        if found is None:
            return None
        level, height, width = found
        smallest = hook.tile * (2**level if hook.scale_depth else 1)
        rows = _draw(tile_counts(height, smallest, hook.swap), generator)
        columns = _draw(tile_counts(width, smallest, hook.swap), generator)
        if rows * columns == 1:
            return None
        tiled = split(tokens, height, width, rows, columns)
        return tiled, lambda output: join(output, height, width, rows, columns)

    handles = [handle for layer in self_attentions(unet) for handle in around_self_attention(layer, enter)]
    with removing(size.watch(unet), *handles):
        yield


def tile_counts(length: int, smallest: int, most: int) -> list[int]:
    """In how many equal tiles, none shorter than `smallest`, a length can be cut: the `most` largest counts."""
    smallest = min(smallest, length)
    edges = [edge for edge in range(smallest, length + 1) if length % edge == 0]
    return [length // edge for edge in edges[:most]]


def split(tokens: Tensor, height: int, width: int, rows: int, columns: int) -> Tensor:
    """Tokens (B, h * w, C) as (B * rows * columns, tokens of a tile, C)."""
    batch, _, channels = tokens.shape
    grid = tokens.reshape(batch, rows, height // rows, columns, width // columns, channels)
    return grid.transpose(2, 3).reshape(batch * rows * columns, -1, channels)


def join(tiles: Tensor, height: int, width: int, rows: int, columns: int) -> Tensor:
    """What `split` made, together again."""
    channels = tiles.shape[-1]
    grid = tiles.reshape(-1, rows, columns, height // rows, width // columns, channels)
    return grid.transpose(2, 3).reshape(-1, height * width, channels)


def _draw(options: list[int], generator: torch.Generator) -> int:
    return options[int(torch.randint(len(options), (), generator=generator))]
