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
        grids = tuple(video_fhw[0])
        return qwen_rotations(grids, int(max_txt_seq_len), self.axes, device)


@lru_cache(maxsize=16)
def qwen_rotations(
    grids: tuple[Grid, ...], text: int, axes: tuple[int, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Rotations (tokens, D / 2) of the pictures' tokens, one behind the other, and of the text's."""
    pictures = torch.cat([from_the_middle(grid) for grid in grids])
    made = grids[0]
    first = max(made.rows // 2, made.columns // 2)
    line = first + torch.arange(text, dtype=torch.float32)
    words = line[:, None].expand(-1, 3)
    return rotated(pictures, axes).to(device), rotated(words, axes).to(device)


def from_the_middle(grid: Grid) -> Tensor:
    """Positions (tokens, 3); rows and columns count from the middle."""
    places = torch.zeros(grid.frames, grid.rows, grid.columns, 3)
    places[..., 0] = (torch.arange(grid.frames) + grid.first)[:, None, None]
    places[..., 1] = (torch.arange(grid.rows) - grid.rows // 2 + grid.top)[:, None]
    places[..., 2] = torch.arange(grid.columns) - grid.columns // 2 + grid.left
    return places.reshape(-1, 3)


def rotated(positions: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Rotations (tokens, D / 2) at positions (tokens, 3)."""
    angles = []
    for number, width in enumerate(axes):
        speeds = 1.0 / THETA ** (torch.arange(0, width, 2).float() / width)
        angles.append(torch.outer(positions[:, number], speeds))
    found = torch.cat(angles, dim=1)
    return torch.polar(torch.ones_like(found), found)


Shapes = Sequence[tuple[int, int, int]]
"""(frames, rows, columns) of the tokens of each reference picture."""


def grids_behind(shapes: Shapes) -> list[Grid]:
    """Each reference behind the picture and behind those before it."""
    return [Grid(*shape, first=number) for number, shape in enumerate(shapes, start=1)]


def clean_grids_behind(shapes: Shapes) -> list[Grid]:
    """The same for networks that know them to be without noise."""
    return grids_behind(shapes)


def grids_before(shapes: Shapes) -> list[Grid]:
    """Each reference before the picture and before those before it, as models of layers were trained."""
    return [Grid(*shape, first=-number) for number, shape in enumerate(shapes, start=1)]


def grids_on_one_sheet(shapes: Shapes) -> list[Grid]:
    """All references on one sheet behind the picture, each right of or below those before."""
    corners = beside([shape[1:] for shape in shapes])
    found = []
    for shape, (top, left) in zip(shapes, corners, strict=True):
        found.append(Grid(*shape, first=1, top=top, left=left))
    return found


QWEN_METHODS: Mapping[str, Callable[[Shapes], list[Grid]]] = {
    "index": grids_behind,
    "index_timestep_zero": clean_grids_behind,
    "negative_index": grids_before,
    "offset": grids_on_one_sheet,
}
"""By the names of `set_reference_method`."""
