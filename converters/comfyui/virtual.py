"""Nodes that exist on the canvas only."""

from __future__ import annotations

from enum import Enum, auto

from .documents import UiNode

REROUTES = frozenset({"Reroute", "Reroute (rgthree)"})
SETTERS = frozenset({"SetNode", "easy setNode"})
GETTERS = frozenset({"GetNode", "easy getNode"})
PRIMITIVE = "PrimitiveNode"

_DECORATION = frozenset(
    {
        "Note",
        "MarkdownNote",
        "Note Plus (mtb)",
        "Label (rgthree)",
        "Bookmark (rgthree)",
        "Fast Muter (rgthree)",
        "Fast Bypasser (rgthree)",
        "Fast Groups Muter (rgthree)",
        "Fast Groups Bypasser (rgthree)",
        "Fast Actions Button (rgthree)",
        "Mute / Bypass Relay (rgthree)",
        "Mute / Bypass Repeater (rgthree)",
        "Random Unmuter (rgthree)",
        "Node Collector (rgthree)",
        "Node Combiner (rgthree)",
        "Anything Everywhere",
        "Anything Everywhere?",
        "Anything Everywhere3",
        "Prompts Everywhere",
    }
)
BROADCASTERS = frozenset(
    {"Anything Everywhere", "Anything Everywhere?", "Anything Everywhere3", "Prompts Everywhere", "Seed Everywhere"}
)


class Role(Enum):
    """What a node is to the prompt."""

    REAL = auto()
    FOLLOW = auto()
    """Its output is its first input."""
    VALUE = auto()
    """It gives a widget value."""
    GET = auto()
    """Its output is the input of the setter of the same name."""
    DECORATION = auto()
    """It is left out."""


def role(node: UiNode) -> Role:
    """Return what the node is to the prompt."""
    if node.type in REROUTES or node.type in SETTERS:
        return Role.FOLLOW
    if node.type == PRIMITIVE:
        return Role.VALUE
    if node.type in GETTERS:
        return Role.GET
    return Role.DECORATION if node.type in _DECORATION else Role.REAL


def first_value(node: UiNode) -> tuple[bool, object]:
    """Return whether the node has a widget value, and the first one."""
    values = list(node.widgets.values()) if not isinstance(node.widgets, tuple) else node.widgets
    return (True, values[0]) if values else (False, None)


def variable(node: UiNode) -> str | None:
    """Return the name that a setter or getter carries."""
    known, value = first_value(node)
    return value if known and isinstance(value, str) and value else None
