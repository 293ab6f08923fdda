"""An API prompt as a UI file: slots, links, widget values in order, and a layout in layers from left to right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import catalogue
from ..catalogue import CONTROL, Interface
from ..core_version import BEFORE_STEP_NOISE
from ..pruning import Prompt, link_of
from .layout import HEADER, ROW, WIDTH, arranged

_LINK_TYPES = frozenset({"*"})


def to_ui(prompt: Prompt, *, name: str | None = None) -> dict[str, Any]:
    """Return a UI file of format 0.4 that shows an API prompt.

    Args:
        prompt: The prompt; its links lead to nodes that it has.
        name: Stands in ``extra`` as the workflow's name.
    """
    numbers = numbered(prompt)
    nodes: dict[str, dict[str, Any]] = {}
    for id, node in prompt.items():
        nodes[id] = _node(numbers[id], node)
    links = _links(prompt, numbers, nodes)
    sizes = {id: tuple(node["size"]) for id, node in nodes.items()}
    for order, (id, position) in enumerate(arranged(prompt, sizes).items()):
        nodes[id]["pos"], nodes[id]["order"] = list(position), order
    return {
        "last_node_id": max(numbers.values(), default=0),
        "last_link_id": len(links),
        "nodes": sorted(nodes.values(), key=lambda node: node["order"]),
        "links": links,
        "groups": [],
        "config": {},
        "extra": {"workflow": {"name": name}} if name else {},
        "version": 0.4,
    }


def numbered(prompt: Prompt) -> dict[str, int]:
    """Return a number for each node: its id where that is one."""
    taken = {int(id) for id in prompt if id.isascii() and id.isdigit() and len(id) < 10 and str(int(id)) == id}
    free = iter(number for number in range(1, len(prompt) + len(taken) + 2) if number not in taken)
    return {
        id: int(id) if id.isascii() and id.isdigit() and len(id) < 10 and str(int(id)) == id else next(free)
        for id in prompt
    }


def _node(number: int, node: Mapping[str, Any]) -> dict[str, Any]:
    kind, inputs, meta = node["class_type"], node["inputs"], node.get("_meta", {})
    interface = catalogue.find(kind)
    slots = _slots(inputs, interface)
    widgets, named = _widgets(inputs, interface)
    outputs = [{"name": name, "type": type, "links": []} for name, type in (interface.outputs if interface else ())]
    rows = max(len(slots), len(outputs)) + len(widgets)
    tall = sum(160 for value in widgets if isinstance(value, str) and len(value) > 40)
    entry: dict[str, Any] = {
        "id": number,
        "type": kind,
        "pos": [0, 0],
        "size": [WIDTH, HEADER + ROW * max(1, rows) + tall],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": slots,
        "outputs": outputs,
        "properties": {"Node name for S&R": kind, **{name: meta[name] for name in BEFORE_STEP_NOISE if name in meta}},
    }
    title = meta.get("title")
    if title and title != kind:
        entry["title"] = title
    if widgets:
        entry["widgets_values"] = widgets
        entry["widgets_values_named"] = named
    return entry


def _slots(inputs: Mapping[str, Any], interface: Interface | None) -> list[dict[str, Any]]:
    """Return the input slots: every input that takes links alone, and widgets that are linked."""
    known = interface.inputs if interface is not None else {}
    names = [name for name, spec in known.items() if not spec.widget]
    names += [name for name, value in inputs.items() if link_of(value) is not None and name not in names]
    slots = []
    for name in names:
        spec = known.get(name)
        slot: dict[str, Any] = {"name": name, "type": spec.type if spec is not None else "*", "link": None}
        if spec is not None and spec.widget:
            slot["widget"] = {"name": name}
        slots.append(slot)
    return slots


def _widgets(inputs: Mapping[str, Any], interface: Interface | None) -> tuple[list[Any], dict[str, Any]]:
    """Return the widget values in their order, with the control beside seeds, and the same by name."""
    literals = {
        name: value["__value__"] if isinstance(value, dict) and set(value) == {"__value__"} else value
        for name, value in inputs.items()
        if link_of(value) is None
    }
    order = interface.orders[-1].names if interface is not None and interface.core else tuple(literals)
    values: list[Any] = []
    named: dict[str, Any] = {}
    for position, name in enumerate(order):
        if name == CONTROL:
            values.append("fixed")
            named[
                "control_after_generate"
                if position == len(order) or "control_after_generate" not in named
                else f"control_after_generate#{position}"
            ] = "fixed"
            continue
        spec = interface.inputs.get(name) if interface is not None else None
        value = literals.get(name, catalogue.default_of(spec) if spec is not None else None)
        values.append(value)
        named[name] = value
    for name, value in literals.items():
        if name not in named:
            values.append(value)
            named[name] = value
    return values, named


def _links(prompt: Prompt, numbers: Mapping[str, int], nodes: Mapping[str, dict[str, Any]]) -> list[list[Any]]:
    links: list[list[Any]] = []
    for id, node in prompt.items():
        for position, slot in enumerate(nodes[id]["inputs"]):
            link = link_of(node["inputs"].get(slot["name"]))
            if link is None:
                continue
            origin, output = link
            outputs = nodes[origin]["outputs"]
            while len(outputs) <= output:
                outputs.append({"name": f"output {len(outputs)}", "type": "*", "links": []})
            kind = outputs[output]["type"] if outputs[output]["type"] not in _LINK_TYPES else slot["type"]
            number = len(links) + 1
            links.append([number, numbers[origin], output, numbers[id], position, kind])
            slot["link"] = number
            outputs[output]["links"].append(number)
    return links
