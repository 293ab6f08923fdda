"""Interfaces of ComfyUI's node types: what names positional widget values and tells output nodes.

Tables, read once on first use: ``core_nodes.json`` (the node types of ComfyUI itself), ``template_nodes.json``
(widget orders seen in the official templates), ``other_nodes.json`` (widget orders of much used custom nodes) and
``recorded_nodes.json`` (types whose results were recorded from ComfyUI, in workflows that the tests run).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

CONTROL = "@control"
"""Stands in an order for the setting beside a seed (fixed, increment, …)."""

_WIDGET_TYPES = frozenset(
    {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "LOAD_3D", "LOAD_3D_ANIMATION", "AUDIO_RECORD", "WEBCAM"}
)
_SEEDS = frozenset({"seed", "noise_seed"})


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input of a core node type."""

    name: str
    type: str
    required: bool
    widget: bool
    control: bool
    details: Mapping[str, Any]
    """``default``, ``min``, ``max``, ``step``, ``options``, ``multiline`` where given."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order of widget values. ``when`` tells which choices of which combo boxes go with it."""

    names: tuple[str, ...]
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interface:
    """What is known of a node type; ``inputs`` and ``outputs`` only for core types, ``lists`` are outputs that are lists."""

    type: str
    core: bool
    orders: tuple[Order, ...]
    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    outputs: tuple[tuple[str, str], ...] = ()
    output_node: bool = False
    lists: frozenset[int] = frozenset()


def find(type: str) -> Interface | None:
    """Return the interface of a node type: the exact name first, then without surrounding spaces."""
    known = interfaces()
    return known.get(type) or known.get(type.strip())


def default_of(spec: InputSpec) -> Any:
    """Return what a widget holds on a new node."""
    if "default" in spec.details:
        return spec.details["default"]
    options = spec.details.get("options")
    return options[0] if options else {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False}.get(spec.type, "")


def is_seed(name: str) -> bool:
    """Say whether an input of this name carries the setting of what to do after each run."""
    return name.rsplit(".", 1)[-1] in _SEEDS


@cache
def interfaces() -> Mapping[str, Interface]:
    """Return every known interface by type name."""
    known = {type: _core(type, raw) for type, raw in _table("core_nodes.json").items()}
    for name in ("template_nodes.json", "other_nodes.json"):
        for type, raw_orders in _table(name).items():
            orders = tuple(_order(raw) for raw in raw_orders)
            base = known.get(type)
            if base is None:
                known[type] = Interface(type, core=False, orders=orders)
            else:
                known[type] = Interface(
                    type, base.core, (*orders, *base.orders), base.inputs, base.outputs, base.output_node, base.lists
                )
    return known


@cache
def recorded() -> frozenset[str]:
    """Return the types whose results were recorded from ComfyUI: their rules are held to its numbers."""
    return frozenset(_table("recorded_nodes.json"))


def _table(name: str) -> Any:
    return json.loads(resources.files(__package__).joinpath("data", name).read_text("utf-8"))


def _core(type: str, raw: Mapping[str, Any]) -> Interface:
    inputs = {
        entry["name"]: InputSpec(
            name=entry["name"],
            type=entry["type"],
            required=section == "required",
            widget=entry["type"] in _WIDGET_TYPES and not entry.get("forceInput", False),
            control=bool(entry.get("control_after_generate")) or (entry["type"] == "INT" and is_seed(entry["name"])),
            details={key: value for key, value in entry.items() if key not in {"name", "type"}},
        )
        for section in ("required", "optional")
        for entry in raw["inputs"].get(section, ())
    }
    names: list[str] = []
    for spec in inputs.values():
        if spec.widget:
            names.extend((spec.name, CONTROL) if spec.control else (spec.name,))
    return Interface(
        type=type,
        core=True,
        orders=(Order(tuple(names)),),
        inputs=inputs,
        outputs=tuple((output["name"], output["type"]) for output in raw["outputs"]),
        output_node=bool(raw["output_node"]),
        lists=frozenset(slot for slot, output in enumerate(raw["outputs"]) if output["list"]),
    )


def _order(raw: Mapping[str, Any] | list[str]) -> Order:
    if isinstance(raw, list):
        return Order(tuple(raw))
    return Order(tuple(raw["names"]), {name: tuple(values) for name, values in raw.get("when", {}).items()})
