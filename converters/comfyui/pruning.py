"""From the prompt as sent to what runs: lazy switches folded, nodes that no output needs left out."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from graphflow.errors import ConversionError

from . import catalogue
from .fields import quote
from .notes import Journal

Prompt = dict[str, dict[str, Any]]
"""An API prompt: ``class_type``, ``inputs`` and ``_meta`` by node id."""

SWITCH = "ComfySwitchNode"

_SINK_NAME = re.compile(r"save|preview|show|display|combine|output|compare|send|upload", re.IGNORECASE)
_SAMPLERS_THAT_SHOW = frozenset(
    f"easy {name}" for name in ("kSampler", "fullkSampler", "kSamplerTiled", "kSamplerCustom", "hiresFix")
)
"""Types of custom packs that show or save what they make, beside giving it out."""
_VALUE_NODES = frozenset({"PrimitiveBoolean", "PrimitiveInt", "PrimitiveFloat", "PrimitiveString"})
_CHAIN = 100


def link_of(value: object) -> tuple[str, int] | None:
    """Return node id and output slot if the value of an input is a link."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    origin, slot = value
    if isinstance(origin, int) and not isinstance(origin, bool):
        origin = str(origin)
    if not isinstance(origin, str) or isinstance(slot, bool) or not isinstance(slot, int) or slot < 0:
        return None
    return origin, slot


def output_nodes(prompt: Mapping[str, Mapping[str, Any]], sinks: Iterable[str] | None, journal: Journal) -> list[str]:
    """Return the nodes that a run is for.

    Node types that are known say it themselves. Of the others that something feeds, those count that have no outputs,
    or that feed nothing and have the name of a node that saves or shows; where nothing else is left, all unknown nodes
    that feed nothing.

    Args:
        prompt: The API prompt.
        sinks: Nodes known to have no output at all; None where the format does not tell.
        journal: Takes a note for every guess.
    """
    used = {link[0] for node in prompt.values() for value in node["inputs"].values() if (link := link_of(value))}
    without_outputs = set(sinks or ())
    certain: list[str] = []
    possible: list[str] = []
    for id, node in prompt.items():
        interface = catalogue.find(node["class_type"])
        if interface is not None and interface.core:
            if interface.output_node:
                certain.append(id)
        elif not any(link_of(value) for value in node["inputs"].values()):
            continue  # what nothing feeds has nothing to save or show
        elif id in without_outputs or node["class_type"] in _SAMPLERS_THAT_SHOW:
            certain.append(id)
        elif id not in used:
            named_so = bool(_SINK_NAME.search(node["class_type"]))
            (certain if named_so else possible).append(id)
            if named_so:
                journal.note("output-guess", f"{node['class_type']} is taken for an output node", node=id)
    if not certain and possible:
        journal.note("output-guess", "no known output node: every node that feeds nothing is taken for one")
        return possible
    return certain


def needed(prompt: Mapping[str, Mapping[str, Any]], outputs: Iterable[str]) -> set[str]:
    """Return the outputs and all their ancestors."""
    found: set[str] = set()
    pending = [id for id in outputs if id in prompt]
    while pending:
        id = pending.pop()
        if id in found:
            continue
        found.add(id)
        for value in prompt[id]["inputs"].values():
            link = link_of(value)
            if link is not None and link[0] in prompt:
                pending.append(link[0])
    return found


def ordered(prompt: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the ids so that every node stands behind what feeds it, else in the order of the file."""
    graph: dict[str, list[str]] = {}
    for id, node in prompt.items():
        links = (link_of(value) for value in node["inputs"].values())
        graph[id] = [link[0] for link in links if link is not None and link[0] in prompt]
    try:
        return list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        circle = " → ".join(quote(id, 40)[1:-1] for id in error.args[1][:12])
        raise ConversionError(
            f"the links go round in a circle: {circle}", where="ComfyUI workflow", advice="remove one of these links"
        ) from error


def fold_switches(prompt: Mapping[str, Mapping[str, Any]], journal: Journal) -> Prompt:
    """Return the prompt with every switch whose selector is known replaced by its chosen side.

    A switch is lazy in ComfyUI: only the chosen side runs. One whose selector is computed stays.
    """
    target: dict[str, Any] = {}
    selectors = Selectors(prompt)
    for id, node in prompt.items():
        if node["class_type"] == SWITCH:
            side = selectors.chosen(id)
            if side is not None:
                target[id] = node["inputs"].get(side)
                journal.note("switch", f"takes {side}, as its selector says", node=id)
            else:
                journal.note("switch-computed", "the selector is computed, so the switch stays", node=id)
    result: Prompt = {}
    for id, node in prompt.items():
        if id in target:
            continue
        inputs = {name: _follow(value, target) for name, value in node["inputs"].items()}
        kept = {name: value for name, value in inputs.items() if value is not None or node["inputs"][name] is None}
        result[id] = {**node, "inputs": kept}
    return result


class Selectors:
    """Finds the literals behind inputs where primitives and switches alone lead to them."""

    def __init__(self, prompt: Mapping[str, Mapping[str, Any]]) -> None:
        self._prompt = prompt
        self._known: dict[str, object] = {}
        self._depth = 0

    def chosen(self, switch: str) -> str | None:
        """Return the name of the input that a switch takes, or None where its selector is computed."""
        if switch not in self._known:
            self._known[switch] = None  # the answer for a switch that selects itself
            if self._depth < _CHAIN:
                self._depth += 1
                self._known[switch] = self.literal(self._prompt[switch]["inputs"].get("switch"))
                self._depth -= 1
        selector = self._known[switch]
        if not isinstance(selector, bool | int | float):
            return None
        return "on_true" if selector else "on_false"

    def literal(self, value: object) -> object:
        """Return the literal behind the value of an input, or None."""
        for _ in range(_CHAIN):
            link = link_of(value)
            if link is None:
                return value
            node = self._prompt.get(link[0])
            if node is None:
                return None
            if node["class_type"] in _VALUE_NODES:
                value = node["inputs"].get("value")
                continue
            side = self.chosen(link[0]) if node["class_type"] == SWITCH else None
            if side is None:
                return None
            value = node["inputs"].get(side)
        return None


def _follow(value: Any, target: dict[str, Any]) -> Any:
    """Return what a value becomes when folded switches are passed through; None for a circle."""
    path: list[str] = []
    while (link := link_of(value)) is not None and link[0] in target:
        path.append(link[0])
        value = target[link[0]]
        target[link[0]] = None  # the answer within a circle
    for id in path:
        target[id] = value
    return value
