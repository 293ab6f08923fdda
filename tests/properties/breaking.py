"""Ways to break a document, each giving the path at which validation must say so (None where it could not)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from graphflow.spec.registry import Registry

Draw = Callable[[st.SearchStrategy[Any]], Any]
Breaker = Callable[[Draw, dict[str, Any], Registry], str | None]


def _pick(draw: Draw, document: dict[str, Any], registry: Registry) -> str | None:
    known = [node_id for node_id, node in document["nodes"].items() if node["type"] in registry.specs]
    return draw(st.sampled_from(known)) if known else None


def unknown_type(draw: Draw, document: dict[str, Any], registry: Registry) -> str | None:
    """Misspell a node's type."""
    if (node_id := _pick(draw, document, registry)) is None:
        return None
    document["nodes"][node_id]["type"] += "_x"
    return f"nodes.{node_id}.type"


def unknown_input(draw: Draw, document: dict[str, Any], registry: Registry) -> str | None:
    """Give a parameter that the node does not have."""
    if (node_id := _pick(draw, document, registry)) is None:
        return None
    document["nodes"][node_id]["params"]["no_such_input"] = 1
    return f"nodes.{node_id}.params.no_such_input"


def dangling_link(draw: Draw, document: dict[str, Any], registry: Registry) -> str | None:
    """Link to a node that is not there."""
    if (node_id := _pick(draw, document, registry)) is None:
        return None
    node = document["nodes"][node_id]
    linked = [name for name, spec in registry.specs[node["type"]].inputs.items() if spec.linked]
    if not linked:
        return None
    name = draw(st.sampled_from(linked))
    node["links"][name] = "no_such_node"
    return f"nodes.{node_id}.links.{name}"


def missing_link(draw: Draw, document: dict[str, Any], registry: Registry) -> str | None:
    """Take away a link that the node needs."""
    if (node_id := _pick(draw, document, registry)) is None:
        return None
    node = document["nodes"][node_id]
    needed = [
        n for n, s in registry.specs[node["type"]].inputs.items() if s.linked and s.required and n in node["links"]
    ]
    if not needed:
        return None
    name = draw(st.sampled_from(needed))
    del node["links"][name]
    return f"nodes.{node_id}.links"


def wrong_literal(draw: Draw, document: dict[str, Any], registry: Registry) -> str | None:
    """Give a parameter a value of no type that it could take."""
    if (node_id := _pick(draw, document, registry)) is None:
        return None
    node = document["nodes"][node_id]
    literal = [
        name
        for name, spec in registry.specs[node["type"]].inputs.items()
        if not spec.linked and spec.type.name in ("int", "float", "bool") and name not in node["links"]
    ]
    if not literal:
        return None
    name = draw(st.sampled_from(literal))
    node["params"][name] = {"no": "number"}
    return f"nodes.{node_id}.params.{name}"


def bad_output(draw: Draw, document: dict[str, Any], registry: Registry) -> str | None:
    """Name an output that is not there."""
    document["outputs"]["lost"] = "no_such_node.image"
    return "outputs.lost"


BREAKERS: list[Breaker] = [unknown_type, unknown_input, dangling_link, missing_link, wrong_literal, bad_output]
