"""Workflows inside workflows: a node of type ``workflow:NAME`` becomes the nodes of that document.

Inner ids become ``outer:inner``. The host's params and links go to what the inner document exposes as ``inputs``; a
link to the host's output goes to the address that the inner document names in ``outputs``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from graphflow.basics.jsontools import weight
from graphflow.basics.wording import nearest
from graphflow.document.document import Document, NodeEntry, split_address
from graphflow.errors import LimitError, Problem, Problems
from graphflow.limits import LIMITS

PREFIX = "workflow:"


class Size(NamedTuple):
    """How large a document is: counts as in the limits."""

    nodes: int = 0
    values: int = 0
    literals: int = 0

    def __add__(self, other: Size) -> Size:  # type: ignore[override]
        return Size(self.nodes + other.nodes, self.values + other.values, self.literals + other.literals)

    def excess(self, steps: int) -> str:
        """Say what there is more of than the limits allow; ``steps`` nodes have been looked at."""
        if max(self.nodes, steps) > LIMITS.nodes:
            return f"{LIMITS.nodes:,} nodes"
        if self.values > LIMITS.values:
            return f"{LIMITS.values:,} parameters, links, inputs and outputs"
        return f"{LIMITS.literals:,} characters in its values" if self.literals > LIMITS.literals else ""


@dataclass
class Flat:
    """A document without inner workflows, and what was wrong on the way.

    A node whose inner workflow cannot be used stays as it is, so that links to it are no further problem.
    """

    document: Document
    problems: list[Problem] = field(default_factory=Problems)


def flatten(document: Document) -> Flat:
    """Unfold all inner workflows.

    Raises:
        LimitError: It is larger or deeper than the limits allow.
    """
    flat = Flat(document)
    if not any(entry.type.startswith(PREFIX) for entry in document.nodes.values()):
        return flat
    require_size(document)
    nodes, outputs = _unfold(document, dict(document.workflows), (), "", flat.problems)
    named = {name: outputs.get(address, address) for name, address in document.outputs.items()}
    flat.document = document.model_copy(update={"nodes": nodes, "outputs": named, "workflows": {}})
    return flat


def within(around: Mapping[str, Document], document: Document) -> Mapping[str, Document]:
    """Return the inner workflows that the nodes of a document may name: those around it, and its own before them."""
    return {**around, **document.workflows} if document.workflows else around


def require_size(document: Document) -> None:
    """Refuse what would be too large when unfolded, before anything is unfolded.

    Raises:
        LimitError: It is larger or deeper than the limits allow.
    """
    _count(document, dict(document.workflows), 0, {}, [0])


def reached(document: Document, node: str, parameter: str) -> Iterator[tuple[str, str]]:
    """Yield the (unfolded node id, parameter) pairs that get a parameter's value, through inner workflows.

    Args:
        document: Folded, such that :func:`flatten` accepts it.
        node: An id in it, or an unfolded one.
        parameter: A parameter of that node.
    """
    yield from _reached(document, dict(document.workflows), (), node, parameter)


def _reached(
    document: Document, known: Mapping[str, Document], stack: tuple[str, ...], node: str, parameter: str
) -> Iterator[tuple[str, str]]:
    entry = document.nodes.get(node)
    if entry is None or not entry.type.startswith(PREFIX):
        yield node, parameter
        return
    name = entry.type.removeprefix(PREFIX)
    inner = known.get(name)
    if inner is None or name in stack or parameter not in inner.inputs:
        return
    for target in dict.fromkeys(inner.inputs[parameter].to):
        inside, own = split_address(target)
        for found, last in _reached(inner, within(known, inner), (*stack, name), inside, own or ""):
            yield f"{node}:{found}", last


def _count(
    document: Document,
    known: Mapping[str, Document],
    level: int,
    counted: dict[tuple[int, int], tuple[Size, Mapping[str, Document]]],
    steps: list[int],
) -> Size:
    """Measure an unfolded document, looking at each inner one once for each set of names that it sees.

    Args:
        document: The document.
        known: The inner workflows by name.
        level: How many workflows it stands in.
        counted: What is counted by now, by document and names.
        steps: How many nodes have been looked at.

    Raises:
        LimitError: It is larger than the limits allow.
    """
    total = _size(document)
    steps[0] += total.nodes
    if level <= LIMITS.nesting:  # what contains itself is told while unfolding, and so is what is nested deeper
        for entry in document.nodes.values():
            inner = known.get(entry.type.removeprefix(PREFIX)) if entry.type.startswith(PREFIX) else None
            if inner is None:
                continue
            place = (id(inner), id(known))
            if place not in counted:
                seen = within(known, inner)
                counted[place] = (Size(), seen)  # kept, so that no other gets its id
                counted[place] = (_count(inner, seen, level + 1, counted, steps), seen)
            total += counted[place][0]
            _require(total, steps)
    _require(total, steps)
    return total


def _require(size: Size, steps: list[int]) -> None:
    if excess := size.excess(steps[0]):
        raise LimitError(f"the workflow has more than {excess} when unfolded")


def _size(document: Document) -> Size:
    """Measure a document without what stands inside it."""
    entries = document.nodes.values()
    links = sum(1 if isinstance(link, str) else len(link) for entry in entries for link in entry.links.values())
    turned = sum(len(exposed.to) for exposed in document.inputs.values())
    values = links + turned + len(document.outputs) + sum(len(entry.params) for entry in entries)
    return Size(len(document.nodes), values, sum(weight(value) for entry in entries for value in entry.params.values()))


def _unfold(
    document: Document, known: Mapping[str, Document], stack: tuple[str, ...], prefix: str, problems: list[Problem]
) -> tuple[dict[str, NodeEntry], dict[str, str]]:
    """Return the nodes, and for each address of a host's output the address that stands behind it."""
    if len(stack) > LIMITS.nesting:
        raise LimitError(f"workflows are nested deeper than {LIMITS.nesting} levels", where=" > ".join(stack))
    nodes: dict[str, NodeEntry] = {}
    outputs: dict[str, str] = {}
    hosts: dict[str, Document] = {}
    for node_id, entry in document.nodes.items():
        if not entry.type.startswith(PREFIX):
            nodes[node_id] = entry
            continue
        name = entry.type.removeprefix(PREFIX)
        place = f"nodes.{prefix}{node_id}.type"
        inner = known.get(name)
        if inner is None:
            near = nearest(name, known)
            problems.append(
                Problem(
                    place,
                    f"there is no inner workflow {name!r}",
                    f"did you mean {near!r}?" if near else 'put it under "workflows"',
                )
            )
            nodes[node_id] = entry
            continue
        if name in stack:
            problems.append(
                Problem(place, "a workflow contains itself: " + " > ".join((*stack, name)), "remove one of these nodes")
            )
            nodes[node_id] = entry
            continue
        hosts[node_id] = inner
        filled = inner.model_copy(update={"nodes": _fill(f"{prefix}{node_id}", entry, inner, problems)})
        hosted, behind = _unfold(filled, within(known, inner), (*stack, name), f"{prefix}{node_id}:", problems)
        for inner_id, inner_entry in hosted.items():
            if f"{node_id}:{inner_id}" in document.nodes:
                problems.append(
                    Problem(
                        f"nodes.{prefix}{node_id}:{inner_id}",
                        f"the id is also that of {inner_id!r} inside {node_id!r}",
                        "rename one",
                    )
                )
            nodes[f"{node_id}:{inner_id}"] = _prefixed(inner_entry, node_id)
        for output, address in inner.outputs.items():
            outputs[f"{node_id}.{output}"] = f"{node_id}:{behind.get(address, address)}"
        if inner.outputs:
            outputs[node_id] = outputs[f"{node_id}.{next(iter(inner.outputs))}"]
    for place, address in _addresses(document, prefix, stack):
        node_id, wanted = split_address(address)
        if node_id in hosts and address not in outputs:
            shown = f"has no output {wanted!r}" if wanted is not None else "has no output"
            name = document.nodes[node_id].type.removeprefix(PREFIX)
            problems.append(
                Problem(
                    place,
                    f"the inner workflow {name!r} {shown}",
                    "it has " + (", ".join(hosts[node_id].outputs) or "none"),
                )
            )
            nodes[node_id] = document.nodes[node_id]
    return {
        node_id: _with_links(entry, lambda address: outputs.get(address, address)) for node_id, entry in nodes.items()
    }, outputs


def _addresses(document: Document, prefix: str, stack: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield every address that a document names, with its place."""
    for node_id, entry in document.nodes.items():
        for name, link in entry.links.items():
            for address in [link] if isinstance(link, str) else link:
                yield f"nodes.{prefix}{node_id}.links.{name}", address
    for name, address in document.outputs.items():
        yield (f"workflows.{stack[-1]}.outputs.{name}" if stack else f"outputs.{name}"), address


def _fill(host_id: str, host: NodeEntry, inner: Document, problems: list[Problem]) -> dict[str, NodeEntry]:
    """Put the host's literals and links where the inner document exposes them.

    Host links are marked with a leading ``^``, which prefixing takes off again instead of putting a prefix on.
    """
    params = {node_id: dict(entry.params) for node_id, entry in inner.nodes.items()}
    links = {node_id: dict(entry.links) for node_id, entry in inner.nodes.items()}
    for kind, given in (("params", host.params), ("links", host.links)):
        for name in given:
            if name not in inner.inputs:
                near = nearest(name, inner.inputs)
                advice = f"did you mean {near!r}?" if near else "it has " + (", ".join(inner.inputs) or "no inputs")
                problems.append(
                    Problem(f"nodes.{host_id}.{kind}.{name}", "the inner workflow has no such input", advice)
                )
    for name, exposed in inner.inputs.items():
        for target in exposed.to:
            node_id, parameter = split_address(target)
            if node_id not in params or parameter is None:
                problems.append(
                    Problem(f"nodes.{host_id}", f"the inner input {name!r} points to {target!r}, which is not there")
                )
                continue
            if name in host.links:
                params[node_id].pop(parameter, None)
                link = host.links[name]
                links[node_id][parameter] = f"^{link}" if isinstance(link, str) else [f"^{part}" for part in link]
            elif name in host.params:
                links[node_id].pop(parameter, None)
                params[node_id][parameter] = host.params[name]
    return {
        node_id: entry.model_copy(update={"params": params[node_id], "links": links[node_id]})
        for node_id, entry in inner.nodes.items()
    }


def _prefixed(entry: NodeEntry, host_id: str) -> NodeEntry:
    return _with_links(entry, lambda address: address[1:] if address.startswith("^") else f"{host_id}:{address}")


def _with_links(entry: NodeEntry, turn: Callable[[str], str]) -> NodeEntry:
    links = {
        name: turn(link) if isinstance(link, str) else [turn(part) for part in link]
        for name, link in entry.links.items()
    }
    return entry.model_copy(update={"links": links})
