"""UI workflows (LiteGraph 0.4 and 1.0) as typed, checked data; nothing is interpreted here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphflow.errors import ConversionError

from .fields import as_id, as_index, as_list, as_object, as_text, quote, wrong

NODES = 100_000
"""Nodes of one file, before and after subgraphs are unfolded."""
SLOTS = 4_096
"""Inputs, or outputs, of one node."""
SUBGRAPHS = 10_000
"""Subgraph definitions of one file."""

INPUT_BOUNDARY = "-10"
OUTPUT_BOUNDARY = "-20"


@dataclass(frozen=True, slots=True)
class InputSlot:
    """An input of a node: its link if any, and the widget it stands for if any."""

    name: str
    type: str
    link: str | None = None
    widget: str | None = None


@dataclass(frozen=True, slots=True)
class OutputSlot:
    """An output of a node."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Link:
    """A connection; ids ``-10`` and ``-20`` stand for the inputs and outputs of a subgraph."""

    id: str
    origin: str
    origin_slot: int
    target: str
    target_slot: int
    type: str


@dataclass(frozen=True, slots=True)
class UiNode:
    """A node as drawn. ``widgets`` holds positional values, or a mapping by name."""

    id: str
    type: str
    mode: int = 0
    title: str = ""
    inputs: tuple[InputSlot, ...] = ()
    outputs: tuple[OutputSlot, ...] = ()
    widgets: tuple[Any, ...] | Mapping[str, Any] = ()
    named: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Boundary:
    """An input or output of a subgraph."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A connection that Anything Everywhere makes without drawing it."""

    origin: str
    origin_slot: int


@dataclass(frozen=True, slots=True)
class Graph:
    """The root graph, or the definition of a subgraph."""

    id: str
    name: str
    nodes: Mapping[str, UiNode]
    links: Mapping[str, tuple[Link, ...]]
    inputs: tuple[Boundary, ...] = ()
    outputs: tuple[Boundary, ...] = ()
    broadcasts: Mapping[tuple[str, int], Broadcast] = field(default_factory=dict)

    def link_to(self, node: UiNode, slot: int) -> Link | None:
        """Return the link into an input; of several with one id, the one drawn to this input."""
        key = node.inputs[slot].link
        found = self.links.get(key, ()) if key is not None else ()
        exact = (link for link in found if (link.target, link.target_slot) == (node.id, slot))
        return next(exact, found[0] if found else None)

    def all_links(self) -> Iterator[Link]:
        """Yield every link, duplicates of an id included."""
        for group in self.links.values():
            yield from group


@dataclass(frozen=True, slots=True)
class UiWorkflow:
    """A whole UI file: the root graph, subgraph definitions by id, raw group nodes by name."""

    version: str
    root: Graph
    subgraphs: Mapping[str, Graph]
    groups: Mapping[str, Mapping[str, Any]]


def parse_ui(document: Mapping[str, Any]) -> UiWorkflow:
    """Read a UI workflow.

    Args:
        document: The parsed JSON object with ``nodes`` and ``links``.

    Raises:
        ConversionError: A field has the wrong type, an id stands twice, or there is too much of something.
    """
    root = _graph(document, "", id="", name="")
    raw: list[tuple[Mapping[str, Any], str]] = [(document, "")]
    subgraphs: dict[str, Graph] = {}
    total = len(root.nodes)
    while raw:
        holder, place = raw.pop()
        for definition, where in _definitions(holder, place):
            id = as_id(definition.get("id"), f"{where}.id")
            name = definition.get("name")
            graph = _graph(definition, f"{where}.", id=id, name=name if isinstance(name, str) else "")
            if subgraphs.get(id) == graph:
                continue  # definitions inside definitions may repeat one
            if id in subgraphs:
                raise ConversionError(
                    f"two subgraph definitions have the id {quote(id)}", where=where, advice="delete one of them"
                )
            subgraphs[id] = graph
            total += len(graph.nodes)
            if len(subgraphs) > SUBGRAPHS or total > NODES:
                raise ConversionError(f"the file has more than {NODES:,} nodes or {SUBGRAPHS:,} subgraphs", where=where)
            raw.append((definition, f"{where}."))
    extra = document.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, dict) else None
    named = as_object(groups, "extra.groupNodes") if groups else {}
    version = document.get("version")
    return UiWorkflow(
        version="1.0" if isinstance(version, int | float) and version >= 1 else "0.4",
        root=root,
        subgraphs=subgraphs,
        groups={name: as_object(group, f"extra.groupNodes.{quote(name)}") for name, group in named.items()},
    )


def parse_nodes(raw: object, where: str, *, ids: str = "id") -> dict[str, UiNode]:
    """Read a list of nodes; with ``ids="position"`` they are numbered instead of carrying ids.

    Raises:
        ConversionError: A field has the wrong type or an id stands twice.
    """
    nodes: dict[str, UiNode] = {}
    entries = as_list(raw, where)
    if len(entries) > NODES:
        raise ConversionError(f"the file has more than {NODES:,} nodes", where=where)
    for position, entry in enumerate(entries):
        place = f"{where}[{position}]"
        values = as_object(entry, place)
        id = str(position) if ids == "position" else as_id(values.get("id"), f"{place}.id")
        if id in nodes:
            raise ConversionError(f"two nodes have the id {id}", where=place, advice="give one of them another id")
        nodes[id] = _node(values, id, place)
    return nodes


def _definitions(holder: Mapping[str, Any], place: str) -> Iterator[tuple[dict[str, Any], str]]:
    definitions = holder.get("definitions")
    if definitions is None:
        return
    where = f"{place}definitions"
    for position, entry in enumerate(as_list(as_object(definitions, where).get("subgraphs"), f"{where}.subgraphs")):
        at = f"{where}.subgraphs[{position}]"
        yield as_object(entry, at), at


def _graph(raw: Mapping[str, Any], place: str, *, id: str, name: str) -> Graph:
    nodes = parse_nodes(raw.get("nodes"), f"{place}nodes")
    return Graph(
        id=id,
        name=name,
        nodes=nodes,
        links=_links(raw.get("links"), f"{place}links"),
        inputs=_boundaries(raw.get("inputs"), f"{place}inputs") if id else (),
        outputs=_boundaries(raw.get("outputs"), f"{place}outputs") if id else (),
        broadcasts=_broadcasts(raw.get("extra"), f"{place}extra.ue_links"),
    )


def _node(raw: Mapping[str, Any], id: str, where: str) -> UiNode:
    at = f"{where} (node {id})"
    mode = raw.get("mode")
    widgets = raw.get("widgets_values")
    named = raw.get("widgets_values_named")
    if widgets is not None and not isinstance(widgets, list | dict):
        raise wrong(widgets, "a list or an object", f"{at}.widgets_values")
    if mode is not None and (isinstance(mode, bool) or not isinstance(mode, int)):
        raise wrong(mode, "a number from 0 to 4", f"{at}.mode")
    title, properties = raw.get("title"), raw.get("properties")
    return UiNode(
        id=id,
        type=as_text(raw.get("type"), f"{at}.type"),
        mode=mode or 0,
        title=title if isinstance(title, str) else "",
        inputs=tuple(_inputs(raw.get("inputs"), f"{at}.inputs")),
        outputs=tuple(OutputSlot(name, type) for name, type in _slots(raw.get("outputs"), f"{at}.outputs")),
        widgets=tuple(widgets) if isinstance(widgets, list) else widgets or (),
        named=None if named is None else as_object(named, f"{at}.widgets_values_named"),
        properties=properties if isinstance(properties, dict) else {},
    )


def _inputs(raw: object, where: str) -> Iterator[InputSlot]:
    for position, (entry, (name, type)) in enumerate(zip(as_list(raw, where), _slots(raw, where), strict=True)):
        link, widget = entry.get("link"), entry.get("widget")
        widget_name = widget.get("name") if isinstance(widget, dict) else None
        yield InputSlot(
            name=name,
            type=type,
            link=None if link is None else as_id(link, f"{where}[{position}].link"),
            widget=widget_name if isinstance(widget_name, str) else name if isinstance(widget, dict) else None,
        )


def _slots(raw: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(raw, list) and len(raw) > SLOTS:
        raise ConversionError(f"there are more than {SLOTS:,} inputs or outputs", where=where)
    for position, entry in enumerate(as_list(raw, where)):
        values = as_object(entry, f"{where}[{position}]")
        name = values.get("name")
        yield (
            "" if name is None else as_text(name, f"{where}[{position}].name"),
            slot_type(values.get("type"), f"{where}[{position}].type"),
        )


def slot_type(raw: object, where: str) -> str:
    """Return a slot's type as text: lists are combo boxes, 0 and nothing match anything.

    Raises:
        ConversionError: The type is of another kind.
    """
    if isinstance(raw, str):
        return raw or "*"
    if raw is None or raw == 0:
        return "*"
    if isinstance(raw, list):
        return "COMBO"
    if raw == -1:
        return "EVENT"
    raise wrong(raw, "a type name", where)


def _boundaries(raw: object, where: str) -> tuple[Boundary, ...]:
    return tuple(Boundary(name, type) for name, type in _slots(raw, where))


def _links(raw: object, where: str) -> dict[str, tuple[Link, ...]]:
    entries: Any = list(raw.values()) if isinstance(raw, dict) else as_list(raw, where)
    links: dict[str, tuple[Link, ...]] = {}
    for position, entry in enumerate(entries):
        if entry is None or None in _origin(entry):
            continue  # a link from nowhere is none
        link = _link(entry, f"{where}[{position}]")
        known = links.get(link.id, ())
        if link not in known[:8]:
            links[link.id] = (*known[:7], link)
    return links


def _origin(raw: object) -> list[object]:
    """Return a link's id, node and slot, as far as they are there."""
    if isinstance(raw, dict):
        return [raw[name] for name in ("id", "origin_id", "origin_slot") if name in raw]
    return raw[:3] if isinstance(raw, list) else []


def _link(raw: object, where: str) -> Link:
    if isinstance(raw, list):
        if len(raw) < 5:
            raise ConversionError(
                f"a link has {len(raw)} entries, expected [id, from node, from slot, to node, to slot, type]",
                where=where,
                advice="save the workflow again in ComfyUI",
            )
        id, origin, origin_slot, target, target_slot, *rest = raw
        type = rest[0] if rest else None
    else:
        values = as_object(raw, where)
        id, type = values.get("id"), values.get("type")
        origin, origin_slot = values.get("origin_id"), values.get("origin_slot")
        target, target_slot = values.get("target_id"), values.get("target_slot")
    return Link(
        id=as_id(id, f"{where}.id"),
        origin=as_id(origin, f"{where}.origin_id"),
        origin_slot=as_index(origin_slot, f"{where}.origin_slot"),
        # The input that names the link is its end, whatever the link says of it.
        target=as_id("?" if target is None else target, f"{where}.target_id"),
        target_slot=as_index(0 if target_slot is None else target_slot, f"{where}.target_slot"),
        type=slot_type(type, f"{where}.type"),
    )


def _broadcasts(extra: object, where: str) -> dict[tuple[str, int], Broadcast]:
    raw = extra.get("ue_links") if isinstance(extra, dict) else None
    result: dict[tuple[str, int], Broadcast] = {}
    for position, entry in enumerate(as_list(raw, where)):
        at = f"{where}[{position}]"
        values = as_object(entry, at)
        if None in values.values():
            continue
        target = as_id(values.get("downstream"), f"{at}.downstream")
        slot = as_index(values.get("downstream_slot"), f"{at}.downstream_slot")
        result[target, slot] = Broadcast(
            as_id(values.get("upstream"), f"{at}.upstream"),
            as_index(values.get("upstream_slot"), f"{at}.upstream_slot"),
        )
    return result
