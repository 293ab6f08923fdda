"""Unfolding subgraphs and group nodes: every instance becomes a scope with a prefix for its inner ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphflow.errors import ConversionError

from . import catalogue
from .documents import INPUT_BOUNDARY, NODES, OUTPUT_BOUNDARY, Graph, Link, UiNode, UiWorkflow
from .fields import quote
from .groups import group_as_subgraph, group_name
from .modes import BYPASSED, MUTED
from .notes import Journal
from .virtual import SETTERS, variable
from .widgets import is_control, name_widgets

HOST = "-1"
"""Stands in ``proxyWidgets`` for the instance itself, whose linked inputs hold values."""
NESTING = 64
"""Levels of subgraphs inside subgraphs."""
PLACE_LENGTH = 1_024
"""Characters of one unfolded id."""
LINKS = 1_000_000
"""Links after unfolding."""
INSTANCES = 10_000
"""Instances of subgraphs after unfolding."""


@dataclass(slots=True, eq=False)
class Scope:
    """One graph in place: the root, or the inside of one instance of a subgraph.

    Attributes:
        prefix: What stands before the inner ids, e.g. ``37:`` or an empty string.
        host: The instance in the parent scope.
        children: The scopes of the instances in this graph, by node id.
        setters: Set nodes of this graph, by the name they set.
        host_values: Widget values that the host sets, by boundary name.
        host_slots: Input slots of the host, by name; saved instances leave out unlinked ones.
        output_links: What feeds each output of this graph, by its number.
    """

    graph: Graph
    prefix: str
    parent: Scope | None = None
    host: UiNode | None = None
    children: dict[str, Scope] = field(default_factory=dict)
    setters: dict[str, UiNode] = field(default_factory=dict)
    host_values: Mapping[str, Any] = field(default_factory=dict)
    host_slots: Mapping[str, int] = field(default_factory=dict)
    output_links: dict[int, Link] = field(default_factory=dict)

    def flat_id(self, node: UiNode) -> str:
        """Return the node's id in the flat prompt."""
        return self.prefix + node.id

    def ancestors(self) -> Iterator[Scope]:
        """Yield this scope, its parent and so on up to the root."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def walk(self) -> Iterator[Scope]:
        """Yield this scope and all below, parents before children, in the order of the file."""
        pending = [self]
        while pending:
            scope = pending.pop()
            yield scope
            pending.extend(reversed(scope.children.values()))


def unfold(workflow: UiWorkflow, journal: Journal) -> Scope:
    """Return the root scope with a scope for every active instance below it.

    Raises:
        ConversionError: A subgraph contains itself, subgraphs nest too deeply, or there are too many nodes.
    """
    root = _scope(workflow.root, "")
    total = len(workflow.root.nodes)
    links = instances = 0
    promoted: dict[str, list[int]] = {}
    pending = [(root, 0)]
    while pending:
        scope, level = pending.pop()
        for node in scope.graph.nodes.values():
            graph = _inside(workflow, scope, node, journal)
            if graph is None or node.mode in (MUTED, BYPASSED):
                continue
            place = scope.flat_id(node)
            if any(ancestor.graph.id == graph.id for ancestor in scope.ancestors()):
                raise ConversionError(
                    f"the subgraph {quote(graph.name or graph.id)} contains itself",
                    where=f"node {quote(place, 200)}",
                    advice="remove the inner instance in ComfyUI",
                )
            if level >= NESTING or len(place) > PLACE_LENGTH:
                raise ConversionError(
                    f"subgraphs are nested deeper than {NESTING} levels", where=f"node {quote(place, 200)}"
                )
            total += len(graph.nodes)
            links += len(graph.links)
            instances += 1
            if total > NODES or links > LINKS or instances > INSTANCES:
                raise ConversionError(
                    f"unfolded, the workflow has more than {NODES:,} nodes, {LINKS:,} links or {INSTANCES:,} subgraphs",
                    where=f"node {quote(place, 200)}",
                    advice="check for subgraphs that contain each other many times over",
                )
            child = _scope(graph, f"{place}:", scope, node)
            child.host_values = _host_values(node, graph, workflow, promoted, journal, place)
            scope.children[node.id] = child
            pending.append((child, level + 1))
    return root


def is_instance(workflow: UiWorkflow, node: UiNode) -> bool:
    """Say whether the node stands for a subgraph or group of this file."""
    return node.type in workflow.subgraphs or group_name(node.type) in workflow.groups


def _scope(graph: Graph, prefix: str, parent: Scope | None = None, host: UiNode | None = None) -> Scope:
    setters: dict[str, UiNode] = {}
    for node in graph.nodes.values():
        name = variable(node) if node.type in SETTERS else None
        if name is not None and name not in setters:
            setters[name] = node
    outputs: dict[int, Link] = {}
    if parent is not None:
        for link in graph.all_links():
            if link.target == OUTPUT_BOUNDARY and OUTPUT_BOUNDARY not in graph.nodes:
                outputs.setdefault(link.target_slot, link)
    slots = {slot.name: number for number, slot in reversed(list(enumerate(host.inputs)))} if host else {}
    return Scope(graph, prefix, parent, host, setters=setters, host_slots=slots, output_links=outputs)


def _inside(workflow: UiWorkflow, scope: Scope, node: UiNode, journal: Journal) -> Graph | None:
    if node.type in workflow.subgraphs:
        return workflow.subgraphs[node.type]
    name = group_name(node.type)
    if name is None or name not in workflow.groups:
        return None
    return group_as_subgraph(node, name, workflow.groups[name], journal, scope.flat_id(node))


def _host_values(
    host: UiNode, graph: Graph, workflow: UiWorkflow, promoted: dict[str, list[int]], journal: Journal, place: str
) -> Mapping[str, Any]:
    """Return the promoted values that the instance itself holds, by boundary name; null stands for none."""
    if graph.id not in workflow.subgraphs or not host.widgets:
        return {}
    if not isinstance(host.widgets, tuple):
        return _held(host.widgets.items())
    proxies = _proxies(host)
    names = [] if proxies else [graph.inputs[slot].name for slot in promoted_inputs(graph, workflow, promoted)]
    values, shown = host.widgets, len(proxies or names)
    if len(values) > shown or (names and len(values) < shown):
        values = tuple(value for value in values if not is_control(value))
    if proxies and len(values) <= shown:
        return _proxied(proxies, values, graph, journal, place)
    if names and len(values) == shown:
        return _held(zip(names, values, strict=True))
    if host.named is not None:
        return _held((name, value) for name, value in host.named.items() if name in names)
    journal.problem(
        "host-values",
        f"the subgraph holds {len(host.widgets)} values for the {shown} it shows: those inside are used",
        node=place,
    )
    return {}


def _held(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in values if value is not None}


def _proxies(host: UiNode) -> list[tuple[str, str]]:
    """Return the node and widget of each entry of ``proxyWidgets``, to which the host's values belong in this order."""
    entries = host.properties.get("proxyWidgets")
    pairs = [entry[:2] if isinstance(entry, list) else [] for entry in entries] if isinstance(entries, list) else []
    return [(str(pair[0]), str(pair[1])) if len(pair) == 2 else ("", "") for pair in pairs]


def _proxied(
    proxies: list[tuple[str, str]], values: Sequence[Any], graph: Graph, journal: Journal, place: str
) -> dict[str, Any]:
    """Return the values of linked inputs; what is shown of inner nodes has its value there, and the host holds none."""
    found: dict[str, Any] = {}
    inputs = {boundary.name for boundary in graph.inputs}
    for (id, name), value in zip(proxies, values, strict=False):
        if value is None or (id != HOST and (is_control(value) or name.startswith("$$"))):
            continue
        inner = graph.nodes.get(id)
        own = name_widgets(inner).values.get(name) if inner is not None else None
        if id == HOST and name in inputs:
            found[name] = value
        elif id == HOST:
            unknown = f"the subgraph holds {quote(value, 40)} for {quote(name)}, which is none of its inputs"
            journal.problem("host-values", unknown, node=place)
        elif value != own:
            stale = f"holds {quote(value, 40)} for {quote(name)} of node {quote(id)}, whose own value is used: {quote(own, 40)}"
            journal.problem("host-values", f"the subgraph {stale}", node=place)
    return found


def promoted_inputs(graph: Graph, workflow: UiWorkflow, known: dict[str, list[int]], level: int = 0) -> list[int]:
    """Return the inputs of a subgraph that reach a widget inside, however deep, in order.

    Args:
        graph: The definition.
        workflow: Its file.
        known: Answers so far, by definition; more are added.
        level: How many definitions stand around this one.
    """
    if graph.id in known:
        return known[graph.id]
    known[graph.id] = []  # the answer within a definition that contains itself
    found: set[int] = set()
    for link in graph.all_links():
        target = graph.nodes.get(link.target)
        if link.origin != INPUT_BOUNDARY or target is None or link.origin_slot >= len(graph.inputs):
            continue
        if link.target_slot < len(target.inputs):
            slot = target.inputs[link.target_slot]
            if slot.widget is not None or _is_widget(target.type, slot.name, workflow, known, level):
                found.add(link.origin_slot)
    known[graph.id] = sorted(found)
    return known[graph.id]


def _is_widget(type: str, name: str, workflow: UiWorkflow, known: dict[str, list[int]], level: int) -> bool:
    inner = workflow.subgraphs.get(type)
    if inner is not None:
        inside = promoted_inputs(inner, workflow, known, level + 1) if level < NESTING else []
        return any(inner.inputs[slot].name == name for slot in inside)
    interface = catalogue.find(type)
    return interface is not None and any(name in order.names for order in interface.orders)
