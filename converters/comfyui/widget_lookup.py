"""Widget values by the name of their node, as file names refer to them (``%KSampler.seed%``)."""

from __future__ import annotations

from .documents import UiNode
from .pruning import Prompt
from .subgraphs import Scope


class WidgetLookup:
    """Finds the widget values that file names refer to, by the node's name or title."""

    def __init__(self, prompt: Prompt, placed: list[tuple[Scope, UiNode, str]]) -> None:
        self._prompt = prompt
        self._by_name: dict[str, list[tuple[Scope, str]]] = {}
        self._by_title: dict[str, list[tuple[Scope, str]]] = {}
        for scope, node, id in placed:
            name = node.properties.get("Node name for S&R")
            if isinstance(name, str):
                self._by_name.setdefault(name, []).append((scope, id))
            self._by_title.setdefault(node.title or node.type, []).append((scope, id))

    def value(self, scope: Scope, node: str, widget: str) -> str | None:
        """Return a widget's value as text; nodes in the same graph come first."""
        found = self._by_name.get(node) or self._by_title.get(node) or []
        id = next((id for place, id in found[:100] if place is scope), found[0][1] if found else None)
        value = self._prompt[id]["inputs"].get(widget) if id is not None else None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        return str(value)[:1000] if isinstance(value, str | int | float) else None
