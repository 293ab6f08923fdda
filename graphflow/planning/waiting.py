"""Nodes that a workflow needs and that wait for something to be built, told before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from graphflow.errors import InvalidInputError, Problem
from graphflow.planning.checked import CheckedNode, Source, unsound
from graphflow.planning.keys import Keying
from graphflow.planning.steps import Constant, literals_of

Behind = Callable[[Source], Constant | Source]


def waiting_problems(
    ends: Iterable[Source], nodes: Mapping[str, CheckedNode], problems: Iterable[Problem]
) -> list[Problem]:
    """Return one problem for each waiting node that the ends need, as far as a document alone tells.

    Behind a switch only what its literals choose is needed; a switch that a link decides says nothing yet.

    Args:
        ends: What is to be computed.
        nodes: The checked nodes.
        problems: What is wrong with them; the values of unsound nodes say nothing.
    """
    wrong = unsound(problems)
    sound = {node_id: node for node_id, node in nodes.items() if node_id not in wrong}
    return _problems(ends, nodes, lambda source: _chosen(source, sound), lambda node: node.params, sound)


def waiting_problems_of_plan(ends: Iterable[Source], nodes: Mapping[str, CheckedNode], keying: Keying) -> list[Problem]:
    """Return the same with constants folded and switches expanded."""

    def behind(source: Source) -> Constant | Source:
        # Not for equal nodes: each of them is told, so that all can be mended at once.
        spec = nodes[source.node].spec
        return keying.behind(source) if spec.fold or spec.chooser is not None else source

    return _problems(ends, nodes, behind, lambda node: literals_of(keying.arguments[node.id]), nodes)


def _problems(
    ends: Iterable[Source],
    nodes: Mapping[str, CheckedNode],
    behind: Behind,
    literals: Callable[[CheckedNode], Mapping[str, Any]],
    sound: Mapping[str, CheckedNode],
) -> list[Problem]:
    needed: set[str] = set()
    stack = list(ends)
    while stack:
        source = behind(stack.pop())
        if isinstance(source, Constant) or source.node in needed or source.node not in nodes:
            continue
        needed.add(source.node)
        node = nodes[source.node]
        # A switch that is still there is not decided: what it needs now is what decides it.
        undecided = node.spec.chooser is not None
        for name, sources in node.links.items():
            if not (undecided and node.spec.inputs[name].linked):
                stack.extend(sources)
    problems = []
    for node in sound.values():
        if node.id in needed and node.spec.waits is not None:
            known = literals(node)
            waits = node.spec.waiting(known, node.links.keys() - known.keys())
            if waits is not None:
                problems.append(Problem(f"nodes.{node.id}.type", *node.spec.refusal(waits)))
    return problems


def _chosen(source: Source, nodes: Mapping[str, CheckedNode]) -> Source:
    """Follow switches that literals decide."""
    seen: set[Source] = set()
    while source not in seen:
        seen.add(source)
        node = nodes.get(source.node)
        if node is None or node.spec.chooser is None:
            break
        selectors = {name: spec.default for name, spec in node.spec.inputs.items() if not spec.linked}
        if not selectors.keys().isdisjoint(node.links):
            break
        try:
            name, index = node.spec.chooser({**selectors, **node.params})
        except InvalidInputError:  # told with the switch
            break
        links = node.links.get(name, ())
        if (index or 0) not in range(len(links)):
            break
        source = links[index or 0]
    return source
