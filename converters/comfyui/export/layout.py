"""Where nodes stand on the canvas: in columns by their distance from the start, near what feeds them."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping

from ..pruning import Prompt, link_of

WIDTH, HEADER, ROW = 320, 60, 26
GAP_X, GAP_Y = 80, 40


def arranged(prompt: Prompt, sizes: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[float, float]]:
    """Return the upper left corner of each node, in the order in which they run.

    A node's column is one right of the last node that feeds it; nodes that feed one later column alone move up to it.
    Within a column nodes stand at the mean height of what feeds them.

    Args:
        prompt: The nodes; their links make no circle.
        sizes: Width and height by node.
    """
    sources = {
        id: [link[0] for value in node["inputs"].values() if (link := link_of(value)) is not None]
        for id, node in prompt.items()
    }
    order = list(graphlib.TopologicalSorter(sources).static_order())
    column: dict[str, int] = {}
    for id in order:
        column[id] = 1 + max((column[source] for source in sources[id]), default=-1)
    readers: dict[str, list[str]] = {id: [] for id in prompt}
    for id, origins in sources.items():
        for origin in origins:
            readers[origin].append(id)
    for id in reversed(order):
        if not sources[id] and readers[id]:
            column[id] = max(0, min(column[reader] for reader in readers[id]) - 1)
    middles: dict[str, float] = {}
    places: dict[str, tuple[float, float]] = {}
    for number in range(max(column.values(), default=-1) + 1):
        members = [id for id in order if column[id] == number]
        members.sort(key=lambda id: _mean([middles[source] for source in sources[id] if source in middles]))
        top = 0.0
        for id in members:
            places[id] = (number * (WIDTH + GAP_X), top)
            middles[id] = top + sizes[id][1] / 2
            top += sizes[id][1] + GAP_Y
    return {id: places[id] for id in order}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
