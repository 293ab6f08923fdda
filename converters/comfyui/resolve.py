"""From an input back to what feeds it: through reroutes, setters, subgraph borders and bypassed nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphflow.errors import ConversionError

from .documents import INPUT_BOUNDARY, Graph, InputSlot, Link, UiNode
from .everywhere import broadcasts
from .fields import quote
from .modes import BYPASSED, MUTED, bypass_input
from .notes import Journal
from .subgraphs import Scope
from .virtual import Role, first_value, role, variable

STEPS = 10_000
"""Steps from inputs to inputs in one file, beyond four for every input."""

_State = tuple[int, str, int, str]
"""Scope, node, input slot, and the type that the reading input wants."""


@dataclass(frozen=True, slots=True)
class Output:
    """Output ``slot`` of the node with this flat id."""

    node: str
    slot: int


@dataclass(frozen=True, slots=True)
class Value:
    """A widget value set from elsewhere: ``by`` what, and which widget of the node with this flat id."""

    value: Any
    by: str
    holder: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Missing:
    """The input was linked, and what fed it is gone; behind a muted node the whole input goes, with its widget value."""

    reason: str
    muted: bool = False


Source = Output | Value | Missing | None
"""None: nothing feeds the input, so its own widget value stands."""


class Resolver:
    """Finds the source of every input of an unfolded workflow."""

    def __init__(self, root: Scope, journal: Journal, definitions: Mapping[str, Graph]) -> None:
        self._journal = journal
        self._definitions = definitions
        self._known: dict[_State, Source] = {}
        self._budget = STEPS + 4 * sum(len(node.inputs) for scope in root.walk() for node in scope.graph.nodes.values())
        self._broadcasts = {id(scope): broadcasts(scope.graph, scope.prefix, journal) for scope in root.walk()}

    def source(self, scope: Scope, node: UiNode, slot: int) -> Source:
        """Return what feeds an input.

        Raises:
            ConversionError: Reroutes, setters or bypassed nodes form a loop.
        """
        wanted = node.inputs[slot].type
        path: list[tuple[_State, Value | None]] = []
        walked: set[_State] = set()
        held: Value | None = None
        while True:
            state = (id(scope), node.id, slot, wanted)
            if state in self._known and path:
                end = self._known[state]
                break
            if state in walked:
                raise ConversionError(
                    "the connection runs in a circle",
                    where=f"node {quote(scope.flat_id(node), 200)}",
                    advice="remove one of its links in ComfyUI",
                )
            self._charge(scope, node)
            walked.add(state)
            path.append((state, held))
            step = self._step(scope, node, slot, wanted, own=len(path) == 1)
            if not isinstance(step, tuple):
                end = step
                break
            scope, node, slot = step
            held = self._host_value(scope, node, slot)
        return self._remember(path, held, end)

    def _host_value(self, scope: Scope, node: UiNode, slot: int) -> Value | None:
        """Return the value that an instance holds for an input, to stand where nothing feeds it."""
        child = scope.children.get(node.id)
        name = node.inputs[slot].name
        if child is None or name not in child.host_values:
            return None
        flat = scope.flat_id(node)
        return Value(child.host_values[name], f"subgraph {flat}", (flat, name))

    def _remember(self, path: list[tuple[_State, Value | None]], held: Value | None, end: Source) -> Source:
        """Keep the answer for every input on the path; of the values held on the way, the outermost stands."""
        for state, before in reversed(path):
            if held is not None and (end is None or (isinstance(end, Missing) and not end.muted)):
                end = held
            self._known[state] = end
            held = before
        return end

    def _charge(self, scope: Scope, node: UiNode) -> None:
        self._budget -= 1 + len(node.inputs) // 8
        if self._budget < 0:
            raise ConversionError(
                "the connections run through too many reroutes, setters or bypassed nodes",
                where=f"node {quote(scope.flat_id(node), 200)}",
                advice="connect the nodes directly",
            )

    def _step(
        self, scope: Scope, node: UiNode, slot: int, wanted: str, *, own: bool
    ) -> tuple[Scope, UiNode, int] | Source:
        """Go from an input to the input it depends on next, or to its source."""
        entry = node.inputs[slot]
        link = scope.graph.link_to(node, slot)
        if link is None:
            sent = self._broadcasts[id(scope)].get((node.id, slot)) if entry.link is None else None
            if sent is not None:
                return self._from(scope, sent.origin, sent.origin_slot, wanted)
            if entry.link is not None:
                return Missing(f"link {quote(entry.link)} does not exist")
            # An instance's own value is held by the caller.
            if own or node.id in scope.children:
                return None
            return Missing(f"input {quote(entry.name)} of node {scope.flat_id(node)} is not connected")
        if link.origin == INPUT_BOUNDARY and scope.parent is not None and INPUT_BOUNDARY not in scope.graph.nodes:
            return self._through_host(scope, link)
        return self._from(scope, link.origin, link.origin_slot, wanted)

    def _through_host(self, scope: Scope, link: Link) -> tuple[Scope, UiNode, int] | Source:
        parent, host = scope.parent, scope.host
        if parent is None or host is None or link.origin_slot >= len(scope.graph.inputs):
            return Missing(f"the subgraph has no input {link.origin_slot}")
        name = scope.graph.inputs[link.origin_slot].name
        position = scope.host_slots.get(name)
        if position is not None:
            return parent, host, position
        if name in scope.host_values:
            flat = parent.flat_id(host)
            return Value(scope.host_values[name], f"subgraph {flat}", (flat, name))
        return None

    def _from(self, scope: Scope, id: str, slot: int, wanted: str) -> tuple[Scope, UiNode, int] | Source:
        """Go on from an output."""
        node = scope.graph.nodes.get(id)
        if node is None:
            return Missing(f"node {scope.prefix}{id} does not exist")
        flat = scope.flat_id(node)
        kind = role(node)
        if kind is Role.VALUE:
            known, value = first_value(node)
            return Value(value, f"primitive {flat}", (flat, "value")) if known else None
        if kind is Role.GET:
            return self._setter(scope, node)
        if node.mode == MUTED and kind is Role.REAL:  # nodes on the canvas only pass on what they get all the same
            return Missing(f"node {flat} is muted", muted=True)
        if node.mode == BYPASSED or kind is Role.FOLLOW:
            through = 0 if kind is Role.FOLLOW else self._bypassed(node, slot, wanted)
            if through is None or through >= len(node.inputs):
                return Missing(f"node {flat} passes nothing on")
            return scope, node, through
        child = scope.children.get(id)
        if child is None:
            return Output(flat, slot) if kind is Role.REAL else Missing(f"node {flat} exists on the canvas only")
        link = child.output_links.get(slot)
        if link is None:
            return Missing(f"output {slot} of subgraph {flat} is not connected inside")
        if link.origin == INPUT_BOUNDARY:
            return self._through_host(child, link)
        # This recursion is as deep as subgraphs are nested, which unfolding bounds.
        return self._from(child, link.origin, link.origin_slot, wanted)

    def _bypassed(self, node: UiNode, slot: int, wanted: str) -> int | None:
        """Return the input that a bypassed node passes on; an instance has all inputs of its definition, saved or not."""
        definition = self._definitions.get(node.type)
        if definition is None:
            return bypass_input(node, slot, wanted)
        saved = {entry.name: position for position, entry in reversed(list(enumerate(node.inputs)))}
        inputs = tuple(
            node.inputs[saved[entry.name]] if entry.name in saved else InputSlot(entry.name, entry.type)
            for entry in definition.inputs
        )
        through = bypass_input(replace(node, inputs=inputs), slot, wanted)
        return None if through is None else saved.get(inputs[through].name)

    def _setter(self, scope: Scope, getter: UiNode) -> tuple[Scope, UiNode, int] | Source:
        name = variable(getter)
        flat = scope.flat_id(getter)
        for level in scope.ancestors():
            setter = level.setters.get(name or "")
            if setter is not None:
                return (level, setter, 0) if setter.inputs else Missing(f"node {level.flat_id(setter)} has no input")
        self._journal.problem("no-setter", f"no Set node is called {quote(name or '')}", node=flat)
        return Missing(f"node {flat} gets {quote(name or '')}, which nothing sets")
