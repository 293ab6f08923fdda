"""Where the tokens of pictures and text stand for Qwen-Image: rotations by number of the picture, row and column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from graphflow.families.flow.patches import beside

THETA = 10_000.0
"""Slowest wave length over the fastest."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The tokens of a picture or of several frames, and where its middle stands.

    Attributes:
        frames: Frames, one behind the other.
        rows: Rows of tokens.
        columns: Columns of tokens.
        first: Number of the first frame.
        top: How far down the middle is.
        left: How far to the right it is.
    """

    frames: int
    rows: int
    columns: int
    first: int = 0
    top: int = 0
    left: int = 0

    def __iter__(self) -> Iterator[int]:
        """Give frames, rows and columns, which the transformer multiplies to count tokens."""
        return iter((self.frames, self.rows, self.columns))


class Places(nn.Module):  # type: ignore[misc]
    """Rotations as ComfyUI 0.8.0 makes them.

    Diffusers' `QwenEmbedRope` has the middle of odd grids one token further and moves the text away from references, too.
    """

    def __init__(self, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = tuple(axes)

    def forward(
        self, video_fhw: Sequence[Sequence[Grid]], max_txt_seq_len: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return rotations (tokens, D / 2) of the pictures' tokens, one behind the other, and of the text's."""
        return _rotations(tuple(video_fhw[0]), int(max_txt_seq_len), self.axes, device)


@lru_cache(maxsize=16)
def _rotations(
    grids: tuple[Grid, ...], text: int, axes: tuple[int, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    pictures = torch.cat([_positions(grid) for grid in grids])
    made = grids[0]
    line = max(made.rows // 2, made.columns // 2) + torch.arange(text, dtype=torch.float32)
    return _turned(pictures, axes).to(device), _turned(line[:, None].expand(-1, 3), axes).to(device)


def _positions(grid: Grid) -> Tensor:
    """Positions (tokens, 3); rows and columns count from the middle."""
    places = torch.zeros(grid.frames, grid.rows, grid.columns, 3)
    places[..., 0] = (torch.arange(grid.frames) + grid.first)[:, None, None]
    places[..., 1] = (torch.arange(grid.rows) - grid.rows // 2 + grid.top)[:, None]
    places[..., 2] = torch.arange(grid.columns) - grid.columns // 2 + grid.left
    return places.reshape(-1, 3)


def _turned(positions: Tensor, axes: tuple[int, ...]) -> Tensor:
    angles = [
        torch.outer(positions[:, number], 1.0 / THETA ** (torch.arange(0, width, 2).float() / width))
        for number, width in enumerate(axes)
    ]
    found = torch.cat(angles, dim=1)
    return torch.polar(torch.ones_like(found), found)


Shapes = Sequence[tuple[int, int, int]]
"""(frames, rows, columns) of the tokens of each reference picture."""


def numbered(shapes: Shapes) -> list[Grid]:
    """Each reference behind the picture and behind those before it."""
    return [Grid(*shape, first=number) for number, shape in enumerate(shapes, start=1)]


def numbered_down(shapes: Shapes) -> list[Grid]:
    """Each reference before the picture and before those before it, as models of layers were trained."""
    return [Grid(*shape, first=-number) for number, shape in enumerate(shapes, start=1)]


def on_one_sheet(shapes: Shapes) -> list[Grid]:
    """All references on one sheet behind the picture, each right of or below those before."""
    corners = beside([shape[1:] for shape in shapes])
    return [Grid(*shape, first=1, top=top, left=left) for shape, (top, left) in zip(shapes, corners, strict=True)]


METHODS: Mapping[str, Callable[[Shapes], list[Grid]]] = {
    "index": numbered,
    "index_timestep_zero": numbered,
    "negative_index": numbered_down,
    "offset": on_one_sheet,
}
"""By the names of `set_reference_method`."""
