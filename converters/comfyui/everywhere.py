"""Anything Everywhere: connections that are not drawn."""

from __future__ import annotations

from .documents import Broadcast, Graph, UiNode
from .modes import BYPASSED, MUTED
from .notes import Journal
from .virtual import BROADCASTERS

_FILTERED = "Anything Everywhere?"


def broadcasts(graph: Graph, prefix: str, journal: Journal) -> dict[tuple[str, int], Broadcast]:
    """Return the undrawn connections of a graph, by target node and input slot.

    Files record them as ``extra.ue_links``. Where they are missing, what reaches a broadcasting node goes to every
    open input of the same type, which is said in a note.
    """
    if graph.broadcasts:
        return dict(graph.broadcasts)
    sources: dict[str, Broadcast] = {}
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
            if link is not None and link.type != "*":
                sources.setdefault(link.type, Broadcast(link.origin, link.origin_slot))
    if not sources:
        return {}
    result: dict[tuple[str, int], Broadcast] = {}
    for node in graph.nodes.values():
        for position in _open_inputs(node):
            source = sources.get(node.inputs[position].type)
            if source is not None and source.origin != node.id:
                result[node.id, position] = source
                journal.note(
                    "everywhere",
                    f"takes {node.inputs[position].type} from node {prefix}{source.origin}, which is sent everywhere",
                    node=prefix + node.id,
                    input=node.inputs[position].name,
                )
    return result


def _open_inputs(node: UiNode) -> list[int]:
    if node.type in BROADCASTERS:
        return []
    return [position for position, slot in enumerate(node.inputs) if slot.link is None and slot.widget is None]
