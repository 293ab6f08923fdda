"""Where reference pictures stand beside the one that is made: places of their tokens in FLUX.1 Kontext."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from graphflow.families.flow.patches import beside, positions

Sizes = Sequence[tuple[int, int]]
"""(rows, columns) of the tokens of each reference picture."""


def on_one_sheet(sizes: Sizes, rows: int, columns: int) -> list[Tensor]:
    """All on one sheet behind the picture."""
    found = []
    for size, (top, left) in zip(sizes, beside(sizes), strict=True):
        found.append(positions(*size, first=1, top=top, left=left))
    return found


def numbered(sizes: Sizes, rows: int, columns: int) -> list[Tensor]:
    """Each on a sheet of its own behind the picture."""
    sheets = enumerate(sizes, start=1)
    return [positions(tall, wide, first=number) for number, (tall, wide) in sheets]


def diagonal(sizes: Sizes, rows: int, columns: int) -> list[Tensor]:
    """On the picture's own sheet, each past the lower right corner of the one before (UNO, Wu et al. 2025, arXiv:2504.02160)."""
    found, top, left = [], rows, columns
    for tall, wide in sizes:
        found.append(positions(tall, wide, top=top, left=left))
        top, left = top + tall, left + wide
    return found


PLACES: Mapping[str, Callable[[Sizes, int, int], list[Tensor]]] = {
    "offset": on_one_sheet,
    "index": numbered,
    "uno": diagonal,
}
"""By the names of `set_reference_method`: from sizes, and rows and columns of the picture, to places."""
