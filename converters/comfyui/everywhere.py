"""Anything Everywhere: connections that are not drawn."""

from __future__ import annotations

from .documents import Broadcast, Graph, Link, UiNode
from .modes import BYPASSED, MUTED
from .notes import Journal
from .virtual import BROADCASTERS

_FILTERED = "Anything Everywhere?"
_PROMPTS = "Prompts Everywhere"
_SIDES = ("pos", "neg")
"""What the names of inputs contain that the two inputs of Prompts Everywhere go to."""


def broadcasts(graph: Graph, prefix: str, journal: Journal) -> dict[tuple[str, int], Broadcast]:
    """Return the undrawn connections of a graph, by target node and input slot.

    Files record them as ``extra.ue_links``. Where they are missing, what reaches a broadcasting node goes to every
    open input of the same type, which is said in a note.
    """
    if graph.broadcasts:
        return dict(graph.broadcasts)
    sources: dict[tuple[str, str], Broadcast] = {}
    for node in graph.nodes.values():
        if node.type not in BROADCASTERS or node.mode in (MUTED, BYPASSED):
            continue
        if node.type == _FILTERED:
            journal.problem(
                "everywhere-filter",
                "the patterns that say where this node sends its input are not recorded as links; nothing is sent",
                node=prefix + node.id,
            )
            continue
        for position in range(len(node.inputs)):
            link = graph.link_to(node, position)
            if link is None or _type(graph, link) == "*":
                continue
            sides = _SIDES if node.type == _PROMPTS else ("",)
            side = sides[min(position, len(sides) - 1)]
            sources.setdefault((_type(graph, link), side), Broadcast(link.origin, link.origin_slot))
    if not sources:
        return {}
    result: dict[tuple[str, int], Broadcast] = {}
    for node in graph.nodes.values():
        for position in _open_inputs(node):
            slot = node.inputs[position]
            side = next((side for side in _SIDES if side in slot.name.lower()), "")
            source = sources.get((slot.type, side)) or sources.get((slot.type, ""))
            if source is not None and source.origin != node.id:
                result[node.id, position] = source
                journal.note(
                    "everywhere",
                    f"takes {slot.type} from node {prefix}{source.origin}, which is sent everywhere",
                    node=prefix + node.id,
                    input=slot.name,
                )
    return result


def _type(graph: Graph, link: Link) -> str:
    """Return the type of what a link carries; one into an input of any type may not say it."""
    origin = graph.nodes.get(link.origin)
    if link.type != "*" or origin is None or link.origin_slot >= len(origin.outputs):
        return link.type
    return origin.outputs[link.origin_slot].type


def _open_inputs(node: UiNode) -> list[int]:
    if node.type in BROADCASTERS:
        return []
    return [position for position, slot in enumerate(node.inputs) if slot.link is None and slot.widget is None]
