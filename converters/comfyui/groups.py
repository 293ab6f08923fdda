"""Group nodes (``workflow/X``, ``workflow>X``), the forerunners of subgraphs, rewritten as subgraphs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from . import catalogue
from .documents import INPUT_BOUNDARY, OUTPUT_BOUNDARY, Boundary, Graph, InputSlot, Link, UiNode, parse_nodes
from .fields import as_list, quote
from .notes import Journal
from .widgets import is_control, may_hold

_NAME = re.compile(r"workflow[/>](.+)", re.DOTALL)


def group_name(type: str) -> str | None:
    """Return the name of the group a node type stands for, or None."""
    match = _NAME.fullmatch(type)
    return match[1] if match else None


def group_as_subgraph(host: UiNode, name: str, raw: Mapping[str, Any], journal: Journal, place: str) -> Graph:
    """Return the group's inside as a subgraph whose inputs and outputs stand in the order of the host's slots.

    The host holds the widget values of all inner nodes, one after the other; they are handed back to them.

    Args:
        host: The node on the canvas.
        name: The group's name.
        raw: ``extra.groupNodes[name]``.
        journal: Takes what does not fit.
        place: Id of the host in the flat prompt.

    Raises:
        ConversionError: The definition has fields of the wrong type.
    """
    where = f"extra.groupNodes.{quote(name)}"
    inner = parse_nodes(raw.get("nodes"), f"{where}.nodes", ids="position")
    links = _inner_links(raw, inner)
    inner = _with_links(inner, links)
    inner = _with_values(host, inner, raw, journal, place)
    inner = _with_converted_widgets(host, inner, journal, place)
    inputs, input_links = _inputs(host, inner, raw, len(links))
    outputs, output_links = _outputs(inner, raw, links, len(links) + len(input_links))
    linked = _with_links(inner, [*links, *input_links])
    return Graph(
        id=f"group:{name}",
        name=name,
        nodes=linked,
        links={link.id: (link,) for link in (*links, *input_links, *output_links)},
        inputs=inputs,
        outputs=outputs,
    )


def _inner_links(raw: Mapping[str, Any], inner: Mapping[str, UiNode]) -> list[Link]:
    links: list[Link] = []
    for entry in as_list(raw.get("links"), "extra.groupNodes.links"):
        numbers = entry[:4] if isinstance(entry, list) else []
        if len(numbers) < 4 or not all(isinstance(number, int) and number >= 0 for number in numbers):
            continue  # a link from or to the outside, which the host's own slots carry
        origin, origin_slot, target, target_slot = numbers
        if str(origin) in inner and target_slot < len(inner[str(target)].inputs if str(target) in inner else ()):
            links.append(Link(str(len(links)), str(origin), origin_slot, str(target), target_slot, "*"))
    return links


def _with_links(nodes: Mapping[str, UiNode], links: list[Link]) -> dict[str, UiNode]:
    """Return the nodes with these links, and no others where a slot's link is not one of them."""
    slots = {(link.target, link.target_slot): link.id for link in links}
    known = {link.id for link in links}
    result: dict[str, UiNode] = {}
    for id, node in nodes.items():
        inputs = [
            replace(slot, link=slots.get((id, position), slot.link if slot.link in known else None))
            for position, slot in enumerate(node.inputs)
        ]
        result[id] = replace(node, inputs=tuple(inputs))
    return result


def _with_values(
    host: UiNode, inner: dict[str, UiNode], raw: Mapping[str, Any], journal: Journal, place: str
) -> dict[str, UiNode]:
    values = host.widgets
    if not isinstance(values, tuple) or not values:
        return inner
    layouts = _layouts(inner, raw)
    fitting = _fitting(values, layouts) or _fitting(values, [_without(layout, host, inner) for layout in layouts])
    if not fitting:
        journal.problem(
            "group-values",
            f"the group node holds {len(values)} widget values, its nodes {len(layouts[1])}: theirs are used",
            node=place,
        )
        return inner
    given, layout = min(fitting, key=_misfits)
    if _misfits((given, layout)):
        journal.problem(
            "group-values", "the widget values do not fit the nodes inside; some may be shifted", node=place
        )
    stored = {id: list(node.widgets) if isinstance(node.widgets, tuple) else [] for id, node in inner.items()}
    for value, entry in zip(given, layout, strict=True):
        stored[entry.node][entry.position] = value
    return {
        id: replace(node, widgets=tuple(stored[id]), named=None) if stored[id] else node for id, node in inner.items()
    }


@dataclass(frozen=True, slots=True)
class _Widget:
    """A value that the group node holds for an inner node: its place among the inner node's own, and its name if known."""

    node: str
    type: str
    position: int
    name: str = ""


_Fitting: TypeAlias = tuple[Sequence[Any], list[_Widget]]


def _fitting(values: Sequence[Any], layouts: list[list[_Widget]]) -> list[_Fitting]:
    """Return the layouts that have as many places as there are values, with or without the settings beside seeds."""
    plain = [value for value in values if not is_control(value)]
    bare = [[widget for widget in layout if widget.name != catalogue.CONTROL] for layout in layouts]
    pairs = [*((values, layout) for layout in layouts), *((plain, layout) for layout in bare)]
    return [(values, layout) for values, layout in pairs if len(values) == len(layout)]


def _misfits(fitting: _Fitting) -> int:
    return sum(not _may_hold(widget, value) for value, widget in zip(*fitting, strict=True))


def _may_hold(widget: _Widget, value: object) -> bool:
    if widget.name == catalogue.CONTROL:
        return is_control(value) or isinstance(value, bool) or value is None
    interface = catalogue.find(widget.type)
    return interface is None or may_hold(interface, widget.name, value)


def _layouts(inner: Mapping[str, UiNode], raw: Mapping[str, Any]) -> list[list[_Widget]]:
    """Return the orders in which group nodes hold their inner nodes' values, the likeliest first.

    Widgets that are linked inside, or hidden, are left out by most files. Those that were made inputs inside stand
    behind the other ones of their node, or in their place, or are left out. The setting beside a seed goes with it.
    """
    layouts: tuple[list[_Widget], ...] = ([], [], [], [])
    moved, every, in_place, without = layouts
    for id, node in inner.items():
        widgets = _widgets(node, id)
        slots = {slot.widget or slot.name: number for number, slot in enumerate(node.inputs)}
        linked = {slot.widget or slot.name for slot in node.inputs if slot.link is not None}
        owner = ""
        shown: list[_Widget] = []
        inputs: list[tuple[int, _Widget]] = []
        for widget in widgets:
            owner = owner if widget.name == catalogue.CONTROL else widget.name
            if owner in linked or _settings(raw, id, "input", owner).get("visible") is False:
                continue
            if owner in slots:
                inputs.append((slots[owner], widget))
            else:
                shown.append(widget)
        every += widgets
        without += shown
        moved += shown + [widget for _, widget in sorted(inputs, key=lambda item: item[0])]
        in_place += sorted([*shown, *(widget for _, widget in inputs)], key=lambda widget: widget.position)
    return list(layouts)


def _without(layout: list[_Widget], host: UiNode, inner: Mapping[str, UiNode]) -> list[_Widget]:
    """Return a layout without the widgets that are linked inputs of the group node, and the settings beside them."""
    linked = {slot.widget for slot in host.inputs if slot.link is not None}
    kept: list[_Widget] = []
    owner = ""
    for widget in layout:
        owner = owner if widget.name == catalogue.CONTROL else widget.name
        title = inner[widget.node].title or widget.type
        if owner not in linked and f"{title} {owner}" not in linked:
            kept.append(widget)
    return kept


def _widgets(node: UiNode, id: str) -> list[_Widget]:
    count = len(node.widgets) if isinstance(node.widgets, tuple) else 0
    interface = catalogue.find(node.type)
    orders = [order.names for order in interface.orders] if interface is not None else []
    names = next((names for names in orders if len(names) == count), [""] * count)
    return [_Widget(id, node.type, position, name) for position, name in enumerate(names)]


def _with_converted_widgets(host: UiNode, inner: dict[str, UiNode], journal: Journal, place: str) -> dict[str, UiNode]:
    """Give inner nodes a slot for each widget that was made an input on the group node."""
    result = dict(inner)
    taken: set[tuple[str, str]] = set()
    for slot in host.inputs:
        if slot.widget is None or slot.link is None:
            continue
        for id, node in result.items():
            name = _widget_called(node, slot.widget)
            if name is not None and (id, name) not in taken:
                taken.add((id, name))
                if all(other.name != name for other in node.inputs):
                    added = InputSlot(name, slot.type, widget=name)
                    result[id] = replace(node, inputs=(*node.inputs, added))
                break
        else:
            journal.problem(
                "group-input", f"no node of the group has a widget {quote(slot.widget)}", node=place, input=slot.name
            )
    return result


def _widget_called(node: UiNode, name: str) -> str | None:
    """Return the name of the node's widget that the group node shows under this name."""
    interface = catalogue.find(node.type)
    names = {name for order in interface.orders for name in order.names} if interface is not None else set()
    inner = name.removeprefix(f"{node.title or node.type} ")
    return name if name in names else inner if inner in names else None


def _settings(raw: Mapping[str, Any], node: str, side: str, key: str) -> Mapping[str, Any]:
    found: Any = raw.get("config")
    for step in (node, side, key):
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _inputs(
    host: UiNode, inner: Mapping[str, UiNode], raw: Mapping[str, Any], first_link: int
) -> tuple[tuple[Boundary, ...], list[Link]]:
    """Name the open inputs as the group node does: by their own name, with the node's title where it is taken."""
    names: dict[str, None] = {}
    numbers: dict[str, int] = {}
    targets: list[tuple[str, int, InputSlot]] = []
    for id, node in inner.items():
        for position, slot in enumerate(node.inputs):
            settings = _settings(raw, id, "input", slot.name)
            if slot.link is not None or settings.get("visible") is False:
                continue
            custom = settings.get("name")
            name = custom if isinstance(custom, str) and custom else slot.name
            if name in names:
                name = f"{node.title or node.type} {name}"
            title = name
            while name in names:
                numbers[title] = numbers.get(title, 1) + 1
                name = f"{node.title or node.type} {numbers[title]} {slot.name}"
            names[name] = None
            targets.append((id, position, slot))
    host_names = {slot.name for slot in host.inputs}
    free = [slot.name for slot in host.inputs if slot.name not in names]
    matched = [
        name if name in host_names or not free else _take(free, host, slot) or name
        for name, (_, _, slot) in zip(names, targets, strict=True)
    ]
    boundaries = tuple(Boundary(name, slot.type) for name, (_, _, slot) in zip(matched, targets, strict=True))
    links = [
        Link(str(first_link + number), INPUT_BOUNDARY, number, id, position, slot.type)
        for number, (id, position, slot) in enumerate(targets)
    ]
    return boundaries, links


def _take(free: list[str], host: UiNode, slot: InputSlot) -> str | None:
    """Take the first unmatched slot of the host with the same type: renamed inputs keep their order.

    Reroutes take any type inside, and have that of their link outside.
    """
    types = {entry.name: entry.type for entry in host.inputs}
    name = next((name for name in free if types[name] == slot.type), None)
    if name is None and slot.type == "*":
        name = next(iter(free), None)
    if name is not None:
        free.remove(name)
    return name


def _outputs(
    inner: Mapping[str, UiNode], raw: Mapping[str, Any], links: list[Link], first_link: int
) -> tuple[tuple[Boundary, ...], list[Link]]:
    """List the outputs that the group node shows: those not used inside, or used outside as well."""
    used = {(link.origin, link.origin_slot) for link in links}
    external = {
        (str(entry[0]), entry[1])
        for entry in as_list(raw.get("external"), "extra.groupNodes.external")
        if isinstance(entry, list) and len(entry) >= 2 and isinstance(entry[0], int) and isinstance(entry[1], int)
    }
    boundaries: list[Boundary] = []
    result: list[Link] = []
    for id, node in inner.items():
        for position, slot in enumerate(node.outputs):
            hidden = _settings(raw, id, "output", str(position)).get("visible") is False
            if hidden or ((id, position) in used and (id, position) not in external):
                continue
            number = len(boundaries)
            boundaries.append(Boundary(slot.name, slot.type))
            result.append(Link(str(first_link + number), id, position, OUTPUT_BOUNDARY, number, slot.type))
    return tuple(boundaries), result
