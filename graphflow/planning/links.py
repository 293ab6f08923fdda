"""Whether links go round in circles, and whether what they carry fits where they end."""

from __future__ import annotations

import networkx as nx

from graphflow.basics.wording import with_article
from graphflow.errors import Problem
from graphflow.planning.checked import Checked, CheckedNode, Source
from graphflow.spec.decorator import InputSpec
from graphflow.spec.link_types import ANY, LinkType, fits
from graphflow.spec.registry import Registry
from graphflow.values import Recipe
from graphflow.values.types import type_name


def order(checked: Checked) -> None:
    """Put the nodes in topological order, or show one cycle of each knot."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(checked.nodes)
    graph.add_edges_from(
        (source.node, node.id)
        for node in checked.nodes.values()
        for source in node.sources
        if source.node in checked.nodes
    )
    try:
        checked.nodes = {node_id: checked.nodes[node_id] for node_id in nx.topological_sort(graph)}
        return
    except nx.NetworkXUnfeasible:
        pass
    for component in nx.strongly_connected_components(graph):
        node = next(iter(component))
        if len(component) > 1 or graph.has_edge(node, node):
            path = [edge[0] for edge in nx.find_cycle(graph.subgraph(component))]
            first = path.index(min(path))
            path = [*path[first:], *path[:first], path[first]]
            problem = Problem(f"nodes.{path[0]}", "a cycle: " + " → ".join(path), "remove one of these links")
            checked.problems.append(problem)


def check_types(checked: Checked, registry: Registry) -> None:
    """Check each link's type, carrying type variables and mapped sequences along."""
    for node in checked.nodes.values():
        variables: dict[str, LinkType] = {}
        mapped = False
        for name, sources in node.links.items():
            parameter = node.spec.inputs[name]
            for index, source in enumerate(sources):
                kind = checked.types.get(source, ANY)
                if parameter.type.variable is not None:
                    variables.setdefault(parameter.type.variable, kind)
                if node.spec.map and kind.item is not None and parameter.type.item is None:
                    mapped = True
                if not (
                    fits(kind, parameter.type, mapped=node.spec.map)
                    or (parameter.many and kind.item is not None and fits(kind.item, parameter.type))
                ):
                    place = f"nodes.{node.id}.links.{name}" + (f"[{index}]" if name in node.many else "")
                    checked.problems.append(
                        Problem(
                            place,
                            f"{str(source)!r} is {with_article(kind)}, {name!r} takes {with_article(parameter.type)}",
                            _type_hint(kind, parameter, node, registry),
                        )
                    )
        for output in node.spec.outputs:
            kind = variables.get(output.type.variable, output.type) if output.type.variable is not None else output.type
            checked.types[Source(node.id, output.name)] = LinkType("sequence", item=kind) if mapped else kind


def _type_hint(kind: LinkType, parameter: InputSpec, node: CheckedNode, registry: Registry) -> str:
    if kind.item is not None and fits(kind.item, parameter.type):
        return f"{node.spec.type} takes one at a time"
    other = [
        name
        for name, spec in node.spec.inputs.items()
        if name not in node.links and spec.linked and spec.type.name == kind.name
    ]
    if other:
        return f"did you mean the input {other[0]!r}?"
    if kind.name in {type_name(recipe) for recipe in Recipe.__subclasses__()}:
        return ""
    for spec in registry.specs.values():
        needs = [given.type for given in spec.inputs.values() if given.linked and given.required]
        gives = spec.output_types[spec.primary] if spec.primary else None
        if gives and fits(gives, parameter.type) and kind in needs and gives not in needs:
            return f"put {spec.type} between them"
    return ""
