"""What differs between two workflows, node by node, and which of it reaches what they write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.basics.jsontools import digest
from graphflow.planning.checked import CheckedNode, Source
from graphflow.planning.expand import Expanded
from graphflow.planning.validate import validate
from graphflow.spec.registry import Registry

NAMES = frozenset({"filename_prefix"})
"""Parameters of nodes that write which change the name of a file only."""


@dataclass(frozen=True)
class Detail:
    """One parameter, link or version that differs.

    Attributes:
        name: Its name.
        before: What the first workflow says; None where it says nothing.
        after: What the second says.
    """

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Change:
    """How one node differs.

    Attributes:
        node: Its id in the first workflow, or where only the second has it, in that.
        type: Its type.
        what: ``added``, ``removed``, ``changed``, or ``renamed`` where nothing but the id differs.
        details: What of it differs.
        reaches: Whether what is written depends on it.
        other: Its id in the second workflow, where that is another.
    """

    node: str
    type: str
    what: str
    details: tuple[Detail, ...] = ()
    reaches: bool = False
    other: str = ""


@dataclass(frozen=True)
class Graph:
    """A workflow as it is compared: unfolded, with the defaults of its parameters.

    Attributes:
        nodes: Its nodes, in topological order.
        values: By node: the values of its parameters.
        digests: By node: the digest of all that its value depends on.
        reached: Nodes that what is written depends on.
    """

    nodes: Mapping[str, CheckedNode]
    values: Mapping[str, Mapping[str, Any]]
    digests: Mapping[str, str]
    reached: frozenset[str]


def graph_of(expanded: Expanded, registry: Registry, target: str | None = None) -> Graph:
    """Return a workflow as it is compared; nodes with problems are left out.

    Args:
        expanded: The workflow.
        registry: The node types.
        target: The node whose file is looked at; None is everything that writes, and the outputs.
    """
    checked = validate(expanded.flat, registry)
    values = {node.id: _values(node, expanded.seeds) for node in checked.nodes.values()}
    digests: dict[str, str] = {}
    for node in checked.nodes.values():
        links = {name: [_key(source, digests) for source in sources] for name, sources in node.links.items()}
        told = {name: value for name, value in values[node.id].items() if not (node.spec.effect and name in NAMES)}
        digests[node.id] = digest([node.spec.type, node.spec.version, told, links])
    ends = [target] if target in checked.nodes else [source.node for source in checked.targets(expanded.flat)]
    return Graph(checked.nodes, values, digests, frozenset(_ancestors(ends, checked.nodes)))


def changes(before: Graph, after: Graph) -> list[Change]:
    """Return how the nodes differ, in the order of the workflows, first what both have."""
    pairs = _pairs(before, after)
    found = [change for one, other in pairs.items() if (change := _change(before, after, one, other, pairs))]
    found += [
        Change(node.id, node.spec.type, "removed", reaches=node.id in before.reached)
        for node in before.nodes.values()
        if node.id not in pairs
    ]
    paired = set(pairs.values())
    found += [
        Change(node.id, node.spec.type, "added", reaches=node.id in after.reached)
        for node in after.nodes.values()
        if node.id not in paired
    ]
    return found


def same_results(before: Graph, after: Graph) -> bool:
    """Tell whether both write what is the same by all that the workflows say."""
    one, other = (sorted(graph.digests[node] for node in _ends(graph)) for graph in (before, after))
    return one == other


def _ends(graph: Graph) -> Iterator[str]:
    """Yield the reached nodes that no reached node reads."""
    read = {source.node for node in graph.reached for source in graph.nodes[node].sources}
    yield from (node for node in graph.reached if node not in read)


def _values(node: CheckedNode, seeds: Mapping[str, int]) -> dict[str, Any]:
    given = {
        name: node.params.get(name, parameter.default)
        for name, parameter in node.spec.inputs.items()
        if name not in node.links and not (parameter.linked and name not in node.params)
    }
    return {name: "random" if f"{node.id}.{name}" in seeds else value for name, value in given.items()}


def _key(source: Source, digests: Mapping[str, str]) -> str:
    return f"{digests.get(source.node, '')}.{source.output}"


def _ancestors(ends: Iterable[str], nodes: Mapping[str, CheckedNode]) -> set[str]:
    found: set[str] = set()
    pending = [end for end in ends if end in nodes]
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += [source.node for source in nodes[node].sources if source.node in nodes]
    return found


def _pairs(before: Graph, after: Graph) -> dict[str, str]:
    """Pair nodes: by id and type, then those that make the same, then the only ones left of their type."""
    pairs = {
        node.id: node.id
        for node in before.nodes.values()
        if node.id in after.nodes and after.nodes[node.id].spec.type == node.spec.type
    }

    def pair(of: Mapping[str, str], other: Mapping[str, str], *, unique: bool) -> None:
        free = [node for node in after.nodes if node not in set(pairs.values())]
        left = [node for node in before.nodes if node not in pairs]
        for node in left:
            candidates = [item for item in free if other[item] == of[node]]
            if candidates and not (unique and (len(candidates) > 1 or sum(of[item] == of[node] for item in left) > 1)):
                pairs[node] = candidates[0]
                free.remove(candidates[0])

    pair(before.digests, after.digests, unique=False)
    types = [{node.id: node.spec.type for node in graph.nodes.values()} for graph in (before, after)]
    pair(types[0], types[1], unique=True)
    return {node: pairs[node] for node in before.nodes if node in pairs}


def _change(before: Graph, after: Graph, one: str, other: str, pairs: Mapping[str, str]) -> Change | None:
    first, second = before.nodes[one], after.nodes[other]
    details = [
        Detail(name, before.values[one].get(name), after.values[other].get(name))
        for name in sorted(before.values[one].keys() | after.values[other].keys())
        if before.values[one].get(name) != after.values[other].get(name)
    ]
    for name in sorted(first.links.keys() | second.links.keys()):
        sources = [Source(pairs.get(source.node, source.node), source.output) for source in first.links.get(name, ())]
        if sources != list(second.links.get(name, ())):
            shown = [", ".join(map(str, node.links.get(name, ()))) or None for node in (first, second)]
            details.append(Detail(name, *shown))
    if not details and one == other:
        return None
    weighty = [item for item in details if not (first.spec.effect and item.name in NAMES)]
    reaches = bool(weighty) and (one in before.reached or other in after.reached)
    what = "changed" if details else "renamed"
    return Change(one, first.spec.type, what, tuple(details), reaches, "" if one == other else other)
