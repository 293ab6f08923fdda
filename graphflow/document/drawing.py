"""A workflow as a picture: boxes in columns, links from left to right, as SVG. All text is escaped."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from html import escape
from itertools import pairwise

from graphflow.basics.markup import paragraph
from graphflow.document.document import Document, NodeEntry, split_address

Cell = tuple[str, int]
"""A node in its column, or what reads it further right, on its way past another column."""

_MOST = 1_000
"""Nodes that a picture can show."""

_LETTER, _BOX, _PASSING, _ACROSS, _DOWN, _MARGIN = 7, 36, 4, 44, 14, 8


def draw(document: Document, marks: Mapping[str, tuple[str, str]] | None = None) -> str:
    """Draw a workflow.

    Links that lead nowhere are left out; where links go round in a circle, one of them leads back.

    Args:
        document: The workflow, valid or not.
        marks: By node: a CSS colour for its box, and what it says when it is pointed at.

    Returns:
        The SVG; for a document that is too large to look at, a paragraph that says so.
    """
    if len(document.nodes) > _MOST:
        return paragraph(f"{len(document.nodes):,} nodes, too many for a picture")
    before = {node: list(_sources(entry, document.nodes)) for node, entry in document.nodes.items()}
    level = _levels(before)
    reads = _ways(before, level)
    sizes = {node: _LETTER * max(len(node), len(entry.type)) + 16 for node, entry in document.nodes.items()}
    left, top, across, down = _places(reads, level, sizes)
    shapes: list[str] = []
    for cell, sources in reads.items():
        node, column = cell
        x, y = left[column][0], _middle(cell, level, top)
        for source in sources:
            shapes.append(_line(left[source[1]][1], _middle(source, level, top), x, y))
        if column != level[node]:
            shapes.append(_line(x, y, left[column][1], y))
    for node, entry in document.nodes.items():
        start, end = left[level[node]]
        colour, title = (marks or {}).get(node, ("#88888822", f"{node}: {entry.type}"))
        shapes.append(_box(node, entry.type, start, top[node, level[node]], end - start, colour, title))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across}" height="{down}" viewBox="0 0 {across} {down}" '
        f'font-family="sans-serif" font-size="12" style="max-width:100%;height:auto">{"".join(shapes)}</svg>'
    )


def _sources(entry: NodeEntry, known: Container[str]) -> Iterator[str]:
    """Yield the nodes that a node reads, each once."""
    seen = set()
    for link in entry.links.values():
        for address in [link] if isinstance(link, str) else link:
            node, _ = split_address(address)
            if node in known and node not in seen:
                seen.add(node)
                yield node


def _levels(before: Mapping[str, list[str]]) -> dict[str, int]:
    """Return the column of each node: right of all that it reads, and where it reads nothing, just left of its readers."""
    level: dict[str, int] = {}
    for first in before:
        path, entered = [first], {first}
        while path:  # no recursion: chains may be long
            node = path[-1]
            waits = next((source for source in before[node] if source not in level and source not in entered), None)
            if waits is not None:
                path.append(waits)
                entered.add(waits)
                continue
            level.setdefault(node, 1 + max((level.get(source, -1) for source in before[node]), default=-1))
            path.pop()
    nearest: dict[str, int] = {}
    for node, sources in before.items():
        for source in sources:
            nearest[source] = min(level[node], nearest.get(source, level[node]))
    return {node: column if before[node] else max(0, nearest.get(node, 1) - 1) for node, column in level.items()}


def _ways(before: Mapping[str, list[str]], level: Mapping[str, int]) -> dict[Cell, dict[Cell, None]]:
    """Return which cells each cell is reached from, column by column."""
    reads: dict[Cell, dict[Cell, None]] = {(node, level[node]): {} for node in before}
    for node, sources in before.items():
        for source in sources:
            passed = range(level[source] + 1, level[node])
            way = [(source, level[source]), *((source, column) for column in passed), (node, level[node])]
            for one, other in pairwise(way):
                reads.setdefault(other, {})[one] = None
    return reads


def _places(
    reads: Mapping[Cell, Mapping[Cell, None]], level: Mapping[str, int], sizes: Mapping[str, int]
) -> tuple[dict[int, tuple[int, int]], dict[Cell, int], int, int]:
    """Return each column's left and right, each cell's top, and the size of the whole.

    In a column, cells stand in the order of what they are reached from.
    """
    columns: dict[int, list[Cell]] = {}
    for cell in reads:
        columns.setdefault(cell[1], []).append(cell)
    left: dict[int, tuple[int, int]] = {}
    top: dict[Cell, int] = {}
    x, down = _MARGIN, 2 * _MARGIN
    for column in sorted(columns):
        heights = {cell: [top[source] for source in reads[cell] if source in top] for cell in columns[column]}
        y = _MARGIN
        for cell in sorted(heights, key=lambda cell: sum(heights[cell]) / max(1, len(heights[cell]))):
            top[cell] = y
            y += _DOWN + (_BOX if level[cell[0]] == column else _PASSING)
        across = max((sizes[node] for node, _ in columns[column] if level[node] == column), default=0)
        left[column] = (x, x + across)
        x, down = x + across + _ACROSS, max(down, y - _DOWN + _MARGIN)
    return left, top, max(2 * _MARGIN, x - _ACROSS + _MARGIN), down


def _middle(cell: Cell, level: Mapping[str, int], top: Mapping[Cell, int]) -> int:
    return top[cell] + (_BOX if level[cell[0]] == cell[1] else _PASSING) // 2


def _line(x: int, y: int, end: int, down: int) -> str:
    half = (end - x) // 2
    curve = f"M{x},{y} C{x + half},{y} {end - half},{down} {end},{down}"
    return f'<path d="{curve}" fill="none" stroke="currentColor" opacity="0.4"/>'


def _box(node: str, kind: str, x: int, y: int, width: int, colour: str, title: str) -> str:
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{x}" y="{y}" width="{width}" height="{_BOX}" rx="5" fill="{escape(colour)}" stroke="currentColor"/>'
        f'<text x="{x + 8}" y="{y + 15}" fill="currentColor" font-weight="bold">{escape(node)}</text>'
        f'<text x="{x + 8}" y="{y + 29}" fill="currentColor" opacity="0.7">{escape(kind)}</text></g>'
    )
