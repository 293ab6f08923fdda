"""What stands at or before each node of a graph, in a time that grows with the graph and not with its square."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from graphflow.planning.checked import CheckedNode

T = TypeVar("T", bound=Hashable)


class Reach(Generic[T]):
    """Each node's things with those of all nodes before it, as the bits of one number.

    Args:
        nodes: The graph, in topological order.
        own: What each node has of its own.
    """

    def __init__(self, nodes: Mapping[str, CheckedNode], own: Mapping[str, Iterable[T]]) -> None:
        self._places: dict[T, int] = {}
        self._bits: dict[str, int] = {}
        for node in nodes.values():
            bits = 0
            for thing in own.get(node.id, ()):
                bits |= 1 << self._places.setdefault(thing, len(self._places))
            for before in dict.fromkeys(source.node for source in node.sources):
                bits |= self._bits.get(before, 0)
            self._bits[node.id] = bits
        self._things = tuple(self._places)
        self._told: dict[int, tuple[T, ...]] = {}

    def of(self, node_id: str) -> tuple[T, ...]:
        """Return what stands at a node or before it, in the order of the graph."""
        bits = self._bits.get(node_id, 0)
        if bits not in self._told:
            self._told[bits] = tuple(self._things[place] for place in _ones(bits))
        return self._told[bits]


def _ones(bits: int) -> Iterable[int]:
    while bits:
        place = (bits & -bits).bit_length() - 1
        yield place
        bits ^= 1 << place


def ancestors(ends: Iterable[str], nodes: Mapping[str, CheckedNode]) -> set[str]:
    """Return the nodes named and all before them."""
    found: set[str] = set()
    stack = list(ends)
    while stack:
        node_id = stack.pop()
        if node_id not in found and node_id in nodes:
            found.add(node_id)
            stack.extend(source.node for source in nodes[node_id].sources)
    return found
