"""Widget values by the name of their node, as file names refer to them (``%KSampler.seed%``)."""

from __future__ import annotations

from .documents import UiNode
from .pruning import Prompt, link_of
from .subgraphs import Scope
from .virtual import PRIMITIVE, first_value
from .widgets import name_widgets


class WidgetLookup:
    """Finds the widget values that file names refer to, by the node's name or title.

    Nodes that are not sent count as well: primitives, and what is muted or bypassed.
    """

    def __init__(self, prompt: Prompt, root: Scope) -> None:
        self._prompt = prompt
        self._by_name: dict[str, list[tuple[Scope, UiNode]]] = {}
        self._by_title: dict[str, list[tuple[Scope, UiNode]]] = {}
        for scope in root.walk():
            for node in scope.graph.nodes.values():
                name = node.properties.get("Node name for S&R")
                if isinstance(name, str):
                    self._by_name.setdefault(name, []).append((scope, node))
                self._by_title.setdefault(node.title or node.type, []).append((scope, node))

    def value(self, scope: Scope, node: str, widget: str) -> str | None:
        """Return a widget's value as text; nodes in the same graph come first."""
        near = self._near(scope, node)
        value = self._value(*near, widget) if near is not None else None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        return str(value)[:1000] if isinstance(value, str | int | float) else None

    def flat_id(self, scope: Scope, node: str) -> str:
        """Return the id in the flat prompt of a node that has a value."""
        near = self._near(scope, node)
        return near[0].flat_id(near[1]) if near is not None else ""

    def _near(self, scope: Scope, node: str) -> tuple[Scope, UiNode] | None:
        found = self._by_name.get(node) or self._by_title.get(node) or []
        return next((entry for entry in found[:100] if entry[0] is scope), found[0] if found else None)

    def _value(self, scope: Scope, node: UiNode, widget: str) -> object:
        sent = self._prompt.get(scope.flat_id(node))
        value = sent["inputs"].get(widget) if sent is not None else None
        if value is not None and link_of(value) is None:
            return value
        if node.type == PRIMITIVE and widget == "value":
            return first_value(node)[1]
        return name_widgets(node).values.get(widget)
