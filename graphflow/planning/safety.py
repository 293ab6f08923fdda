"""The planning pass that puts a safety filter before everything that is saved.

Before each link that carries pictures, descending from a node that generates, into a node with an effect, it inserts a
visible filter (``save~safety``). The checker is that of the nearest checkpoint upstream, else the configured one.
The filters are shown, keyed and cached like any node, and never written back to the document.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from graphflow.errors import InvalidInputError, Problem
from graphflow.planning.checked import CheckedNode, Source
from graphflow.spec.decorator import NodeSpec
from graphflow.spec.link_types import LinkType
from graphflow.spec.registry import Registry

Policy = Literal["auto", "require", "off"]
PART = "safety_checker"
"""Name of a checkpoint's part, and of the output and value type, that holds a checker."""

VISIBLE = ("image", "video")


@dataclass
class Guarded:
    """The graph with filters.

    Attributes:
        nodes: All nodes; filters stand before the nodes that they guard.
        filters: For each effect node that shows pictures: the filters put before it, or () where none was at hand.
        problems: Under ``require``: what cannot be checked.
        notices: Under ``auto``: what is not checked.
    """

    nodes: dict[str, CheckedNode]
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def guard(
    nodes: Mapping[str, CheckedNode],
    types: Mapping[Source, LinkType],
    registry: Registry,
    *,
    policy: Policy,
    checker: str | None,
    has_checker: Callable[[CheckedNode], bool],
) -> Guarded:
    """Insert the filters.

    Args:
        nodes: The checked graph, in topological order.
        types: Type of each output.
        registry: Where the filter and the loader of the configured checker come from.
        policy: ``auto`` checks where a checker is at hand, ``require`` refuses without one, ``off`` inserts nothing.
        checker: Name of the configured checker model, or None.
        has_checker: Tells whether a node with a ``safety_checker`` output really has one.

    Raises:
        InvalidInputError: There is no such policy.
    """
    if policy not in get_args(Policy):  # a misspelt one must not check less than was meant
        raise InvalidInputError(
            f"there is no safety policy {policy!r}", where="safety", advice=f"use one of {', '.join(get_args(Policy))}"
        )
    result = Guarded({})
    for node_id, node in nodes.items():
        if policy == "off" or not node.spec.effect:
            result.nodes[node_id] = node
            continue
        links = dict(node.links)
        filters: list[str] = []
        unguarded = False
        for name, sources in node.links.items():
            guarded: list[Source] = []
            for source in sources:
                kind = types.get(source, LinkType("any"))
                if _element(kind) == "any":  # nobody knows what it is, so it is what the input takes
                    kind = node.spec.inputs[name].type
                if _element(kind) not in VISIBLE or not _generated(source, nodes):
                    guarded.append(source)
                    continue
                checking = _filter_for(_element(kind), registry)
                origin = _checker(source, nodes, has_checker) if checking is not None else None
                if checking is None or (origin is None and checker is None):
                    unguarded = True
                    guarded.append(source)
                    continue
                filter_id = f"{node_id}~safety" + (f"-{len(filters) + 1}" if filters else "")
                if origin is None:
                    origin = _configured(node_id, checker or "", registry, result.nodes)
                links_in = {checking[1]: (source,), checking[2]: (origin,)}
                result.nodes[filter_id] = CheckedNode(filter_id, checking[0], {}, links_in, frozenset(), None)
                filters.append(filter_id)
                guarded.append(Source(filter_id, checking[0].primary))
            links[name] = tuple(guarded)
        result.nodes[node_id] = replace(node, links=links) if filters else node
        if filters or unguarded:
            result.filters[node_id] = tuple(filters)
        if unguarded:
            _unguarded(node_id, policy, result)
    return result


def _unguarded(node_id: str, policy: Policy, result: Guarded) -> None:
    way_out = "set GRAPHFLOW_SAFETY_CHECKER or safety_checker in the settings to a safety checker model, or use a checkpoint that has one"
    if policy == "require":
        result.problems.append(
            Problem(
                f"nodes.{node_id}",
                "no safety checker is at hand for what this node writes, and the policy is 'require'",
                way_out,
            )
        )
    else:
        result.notices.append(f"{node_id}: no safety checker is at hand, so what it writes is not checked ({way_out})")


def _element(kind: LinkType) -> str:
    return kind.item.name if kind.item is not None else kind.name


def _upstream(source: Source, nodes: Mapping[str, CheckedNode]) -> list[CheckedNode]:
    """Return the node behind a source and all before it, nearest first."""
    queue, seen, found = deque([source.node]), {source.node}, []
    while queue:
        node = nodes.get(queue.popleft())
        if node is None:
            continue
        found.append(node)
        for before in node.sources:
            if before.node not in seen:
                seen.add(before.node)
                queue.append(before.node)
    return found


def _generated(source: Source, nodes: Mapping[str, CheckedNode]) -> bool:
    """Tell whether a picture descends from a generating node without a filter in between."""
    queue, seen = deque([source.node]), {source.node}
    while queue:
        node = nodes.get(queue.popleft())
        if node is None or node.spec.checks:
            continue
        if node.spec.generates:
            return True
        for before in node.sources:
            if before.node not in seen:
                seen.add(before.node)
                queue.append(before.node)
    return False


def _checker(
    source: Source, nodes: Mapping[str, CheckedNode], has_checker: Callable[[CheckedNode], bool]
) -> Source | None:
    for node in _upstream(source, nodes):
        for output in node.spec.outputs:
            if output.type.name == PART and has_checker(node):
                return Source(node.id, output.name)
    return None


def _filter_for(kind: str, registry: Registry) -> tuple[NodeSpec, str, str] | None:
    """Return the filter node for a type, its input for the pictures and its input for the checker."""
    for spec in registry.specs.values():
        if not spec.checks:
            continue
        pictures = next((name for name, parameter in spec.inputs.items() if parameter.type.name == kind), None)
        checker = next((name for name, parameter in spec.inputs.items() if parameter.type.name == PART), None)
        if pictures is not None and checker is not None:
            return spec, pictures, checker
    return None


def _configured(node_id: str, checker: str, registry: Registry, nodes: dict[str, CheckedNode]) -> Source:
    """Add a node that loads the configured checker."""
    for spec in registry.specs.values():
        naming = next((name for name, parameter in spec.inputs.items() if parameter.model_kind == PART), None)
        if naming is not None and spec.output_types.get(spec.primary, LinkType("any")).name == PART:
            loader_id = f"{node_id}~checker"
            nodes[loader_id] = CheckedNode(loader_id, spec, {naming: checker}, {}, frozenset(), None)
            return Source(loader_id, spec.primary)
    raise LookupError("the registry has no node that loads a safety checker")
