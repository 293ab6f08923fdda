"""From a document and what the caller turned to a document with nothing left open.

Sets exposed inputs and single parameters, draws seeds that say ``"random"``, unfolds inner workflows.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphflow.basics.wording import nearest, plain
from graphflow.document.document import Document, ExposedInput, NodeEntry, split_address
from graphflow.document.flatten import PREFIX, flatten, reached, require_size, within
from graphflow.errors import LimitError, Problem
from graphflow.limits import LIMITS
from graphflow.spec.decorator import InputSpec
from graphflow.spec.registry import Registry


@dataclass(frozen=True)
class Text:
    """A value as a command line has it: parsed by the type of the parameter that it goes to."""

    text: str


@dataclass(frozen=True)
class Expanded:
    """An expanded document.

    Attributes:
        document: As the user would save it: inputs set, seeds drawn, inner workflows still folded.
        flat: The same, unfolded.
        trusted: (unfolded node, parameter) pairs whose values the caller gave, which may name any file.
        problems: What was wrong on the way.
        seeds: By address: the numbers drawn for seeds that said ``"random"``; those of inner workflows by unfolded node.
        folder: The folder in which its file names resolve, where it was read from one.
        notices: What the user should know of the file that it was read from.
    """

    document: Document
    flat: Document
    trusted: frozenset[tuple[str, str]]
    problems: tuple[Problem, ...]
    seeds: Mapping[str, int]
    folder: Path | None = None
    notices: tuple[str, ...] = ()

    def trusts(self, node: str, parameter: str) -> bool:
        """Tell whether a value is the user's own: given by the caller, or put in from the settings."""
        return (node, parameter) in self.trusted or node not in self.flat.nodes


@dataclass(frozen=True)
class Standing:
    """What stands behind an input of a document.

    Attributes:
        values: The different values of the parameters that it turns.
        links: The addresses that stand there instead.
    """

    values: tuple[Any, ...]
    links: tuple[str, ...]

    @property
    def several(self) -> bool:
        """Whether the parameters differ."""
        return len(self.values) + len(self.links) > 1

    def __str__(self) -> str:
        found = [*map(repr, self.values), *self.links]
        return "several" if self.several else "".join(found) or "nothing"


def standing(document: Document, registry: Registry, name: str) -> Standing:
    """Return what stands behind an input, through inner workflows; for a parameter that says nothing, its default."""
    flat = flatten(document).document
    values: list[Any] = []
    links: list[str] = []
    for target in document.inputs[name].to:
        node, own = split_address(target)
        for found, parameter in reached(document, node, own or ""):
            entry = flat.nodes.get(found)
            spec = None if entry is None else registry.get(entry.type)
            if entry is None or spec is None or parameter not in spec.inputs:
                continue
            if parameter in entry.links:
                link = entry.links[parameter]
                links += [link] if isinstance(link, str) else link
            elif parameter in entry.params or not spec.inputs[parameter].required:
                value = entry.params.get(parameter, spec.inputs[parameter].default)
                values += [] if value in values else [value]
    return Standing(tuple(values), tuple(dict.fromkeys(links)))


def draw_seed() -> int:
    """Return a random seed."""
    return secrets.randbelow(2**32)


def expand(
    document: Document,
    registry: Registry,
    *,
    inputs: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    own: Iterable[tuple[str, str]] = (),
    draw: Callable[[], int] = draw_seed,
) -> Expanded:
    """Expand a document.

    Args:
        document: The document; it is not changed.
        registry: Where the parameters' types come from.
        inputs: Values for exposed inputs, by name; ``Text`` is parsed by type.
        overrides: Values for single parameters, by ``node.parameter``.
        own: (node, parameter) pairs whose values are the caller's already, not a document's.
        draw: Where random seeds come from.

    Raises:
        LimitError: The document is too large when unfolded.
    """
    require_size(document)
    problems: list[Problem] = []
    document = _copied(document)
    inputs = inputs or {}
    turned = [
        (target, inputs[name], f"inputs.{name}")
        for name, exposed in document.inputs.items()
        if name in inputs
        for target in exposed.to
    ]
    for name in inputs:
        if name not in document.inputs:
            problems.append(Problem(f"inputs.{name}", "the workflow has no such input", _hint(name, document.inputs)))
    turned += [(target, value, f"--set {target}") for target, value in (overrides or {}).items()]
    for target, value, place in turned:
        _set(document, registry, target, value, place, problems)
    seeds = _Seeds(registry).draw(document, draw)
    flat = flatten(document)
    mine = [*own, *((node, parameter or "") for node, parameter in map(split_address, [part[0] for part in turned]))]
    trusted = frozenset(pair for node, parameter in mine for pair in reached(document, node, parameter))
    return Expanded(document, flat.document, trusted, (*problems, *flat.problems), seeds)


def _copied(document: Document) -> Document:
    """Copy what expanding changes: what stands in nodes and in inputs, not the values themselves."""
    nodes = {
        node_id: entry.model_copy(update={"params": dict(entry.params), "links": dict(entry.links)})
        for node_id, entry in document.nodes.items()
    }
    inner = {name: _copied(part) for name, part in document.workflows.items()}
    return document.model_copy(update={"nodes": nodes, "inputs": dict(document.inputs), "workflows": inner})


def _hint(name: str, known: Mapping[str, Any]) -> str:
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else "it has " + (", ".join(known) or "none")


def _set(document: Document, registry: Registry, target: str, value: Any, place: str, problems: list[Problem]) -> None:
    node, parameter = split_address(target)
    entry = document.nodes.get(node)
    if entry is None:
        problems.append(Problem(place, f"there is no node {node!r}", _hint(node, document.nodes)))
        return
    if parameter is None:
        problems.append(Problem(place, f"{target!r} names a node, not a parameter", "write NODE.PARAMETER"))
        return
    spec = parameter_behind(document, registry, node, parameter)
    if spec is None and not entry.type.startswith(PREFIX) and (known := registry.get(entry.type)) is not None:
        problems.append(Problem(place, f"{entry.type} has no parameter {parameter!r}", _hint(parameter, known.inputs)))
        return
    if spec is not None and spec.linked:
        problems.append(Problem(place, f"{target!r} takes a link, not a value"))
        return
    entry.links.pop(parameter, None)
    entry.params[parameter] = _value(value, spec)


def _value(value: Any, spec: InputSpec | None) -> Any:
    if not isinstance(value, Text):
        return plain(value)
    return value.text if spec is None else spec.parse(value.text)


def parameter_behind(
    document: Document, registry: Registry, node: str, parameter: str, around: Mapping[str, Document] | None = None
) -> InputSpec | None:
    """Find the parameter behind an address, through inner workflows; ``around`` are those of the documents around it."""
    known = around or {}
    for _ in range(64):
        entry = document.nodes.get(node)
        if entry is None:
            return None
        if not entry.type.startswith(PREFIX):
            spec = registry.get(entry.type)
            return None if spec is None else spec.inputs.get(parameter)
        known = within(known, document)
        inner = known.get(entry.type.removeprefix(PREFIX))
        if inner is None or parameter not in inner.inputs:
            return None
        document = inner
        node, target = split_address(inner.inputs[parameter].to[0])
        parameter = target or ""
    return None


class _Seeds:
    """Replaces seeds that say ``"random"``.

    A seed inside an inner workflow is drawn for each node that runs it: that node holds the number, by an input that the
    inner workflow gets where it has none for that seed alone. So the document as it is saved draws nothing more.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._found: dict[tuple[int, int], tuple[Mapping[str, Document], list[str]]] = {}

    def draw(self, document: Document, draw: Callable[[], int]) -> dict[str, int]:
        """Write numbers into a document; returns them by the address of the unfolded parameters that get them."""
        seeds: dict[str, int] = {}
        for target in self._random(document, {}, ()):
            node, parameter = split_address(target)
            number = document.nodes[node].params[parameter or ""] = draw()
            seeds |= {f"{found}.{name}": number for found, name in reached(document, node, parameter or "")}
        return seeds

    def _random(self, document: Document, around: Mapping[str, Document], stack: tuple[str, ...]) -> list[str]:
        """Return the parameters of a document whose seed is to be drawn, those that its inner workflows get among them."""
        place = (id(document), id(around))  # kept, so that no other gets its id
        if place not in self._found:
            scope = within(around, document)
            found = [
                f"{node}.{parameter}"
                for node, entry in document.nodes.items()
                for parameter in (*self._own(document, node, around), *self._inside(entry, scope, stack))
            ]
            if len(found) > LIMITS.nodes:  # more only where as many nodes unfold
                raise LimitError(f"the workflow draws more than {LIMITS.nodes:,} seeds", where=" > ".join(stack))
            self._found[place] = around, found
        return self._found[place][1]

    def _own(self, document: Document, node: str, around: Mapping[str, Document]) -> Iterator[str]:
        for name, value in document.nodes[node].params.items():
            if value == "random":
                spec = parameter_behind(document, self._registry, node, name, around)
                if spec is not None and spec.seed:
                    yield name

    def _inside(self, host: NodeEntry, scope: Mapping[str, Document], stack: tuple[str, ...]) -> Iterator[str]:
        name = host.type.removeprefix(PREFIX)
        inner = scope.get(name)
        if inner is None or name in stack or not host.type.startswith(PREFIX) or len(stack) > LIMITS.nesting:
            return  # unfolding tells it
        wanted = self._random(inner, scope, (*stack, name))
        turning: dict[str, list[str]] = {}
        for known, exposed in inner.inputs.items() if wanted else ():
            for target in exposed.to:
                turning.setdefault(target, []).append(known)
        for target in wanted:
            names = turning.get(target, ())
            if not any(known in host.params or known in host.links for known in names):
                alone = next((known for known in names if inner.inputs[known].to == [target]), None)
                yield alone or _add_input(inner, target)


def _add_input(document: Document, target: str) -> str:
    """Give a document an input that turns one parameter; returns its name."""
    name = base = re.sub(r"\W|^(?=\d)", "_", target, flags=re.ASCII)
    number = 1
    while name in document.inputs:
        number += 1
        name = f"{base}_{number}"
    document.inputs[name] = ExposedInput(to=[target])
    return name


def parameter_of(document: Document, registry: Registry, address: str) -> InputSpec | None:
    """Return what is known of the parameter ``node.parameter``, through inner workflows; None where there is none."""
    node, parameter = split_address(address)
    return parameter_behind(document, registry, node, parameter or "")
