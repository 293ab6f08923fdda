"""What a workflow shows in ComfyUI's app mode: the widgets that its author lets others turn, in their order.

``extra.linearData.inputs`` of a drawn workflow lists ``[node, widget]``; of a node with an input of its own per widget the
first part is ``<graph>:<node>:<widget>`` (https://docs.comfy.org/interface/app-mode).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_GRAPH = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:", re.IGNORECASE)
_MOST = 200
_LENGTH = 200


@dataclass(frozen=True)
class AppInput:
    """A widget that app mode shows.

    Attributes:
        node: The node's id where it is drawn.
        widget: The widget's name.
        title: What the user calls the node; empty where it has the type's name.
        places: The inputs of the flat prompt that it sets, as (node, input).
    """

    node: str
    widget: str
    title: str = ""
    places: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """What a document may call it."""
        return re.sub(r"\W+", "_", self.widget.rpartition(".")[2]).strip("_").lower()[:_LENGTH] or "value"


def app_inputs(document: Mapping[str, Any]) -> Iterator[AppInput]:
    """Yield what app mode shows of a drawn workflow; what is malformed shows nothing."""
    shown: Any = document
    for key in ("extra", "linearData", "inputs"):
        shown = shown.get(key) if isinstance(shown, dict) else None
    for entry in shown[:_MOST] if isinstance(shown, list) else ():
        if not isinstance(entry, list) or len(entry) < 2 or not isinstance(entry[1], str):
            continue
        node, widget = str(entry[0])[:_LENGTH], entry[1][:_LENGTH]
        plain = _GRAPH.sub("", node)
        yield AppInput(plain.removesuffix(f":{widget}") if plain != node else node, widget)
