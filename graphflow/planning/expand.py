"""From a document and what the caller turned to a document with nothing left open.

Sets exposed inputs and single parameters, draws seeds that say ``"random"``, unfolds inner workflows.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.basics.wording import nearest, plain
from graphflow.document.document import Document, split_address
from graphflow.document.flatten import PREFIX, flatten, reached
from graphflow.errors import Problem
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
    """

    document: Document
    flat: Document
    trusted: frozenset[tuple[str, str]]
    problems: tuple[Problem, ...]
    seeds: Mapping[str, int]

    def trusts(self, node: str, parameter: str) -> bool:
        """Tell whether a value is the user's own: given by the caller, or put in from the settings."""
        return (node, parameter) in self.trusted or node not in self.flat.nodes


def expand(
    document: Document,
    registry: Registry,
    *,
    inputs: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    own: Iterable[tuple[str, str]] = (),
    draw: Callable[[], int] = lambda: secrets.randbelow(2**32),
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
    problems: list[Problem] = []
    turned: list[tuple[str, bool]] = []  # targets, with whether the caller gave their values
    document = document.model_copy(deep=True)
    inputs = inputs or {}
    for name in inputs:
        if name not in document.inputs:
            problems.append(Problem(f"inputs.{name}", "the workflow has no such input", _hint(name, document.inputs)))
    for name, exposed in document.inputs.items():
        given = name in inputs
        if not given and exposed.default is None:
            continue
        value = inputs[name] if given else exposed.default
        for target in exposed.to:
            _set(document, registry, target, value, f"inputs.{name}", problems)
            turned.append((target, given))
        if given:
            exposed.default = value.text if isinstance(value, Text) else plain(value)
            node, parameter = split_address(exposed.to[0])
            if parameter is not None and node in document.nodes:
                exposed.default = document.nodes[node].params.get(parameter)
    for target, value in (overrides or {}).items():
        _set(document, registry, target, value, f"--set {target}", problems)
        turned.append((target, True))
    seeds = _draw_seeds(document, registry, draw)
    flat = flatten(document)
    seeds |= _draw_seeds(flat.document, registry, draw)
    return Expanded(document, flat.document, _trusted(document, own, turned), (*problems, *flat.problems), seeds)


def _trusted(
    document: Document, own: Iterable[tuple[str, str]], turned: list[tuple[str, bool]]
) -> frozenset[tuple[str, str]]:
    """Return the unfolded (node, parameter) pairs whose values are the caller's; what was turned last counts."""
    trusted = {pair for node, parameter in own for pair in reached(document, node, parameter)}
    for target, mine in turned:
        node, parameter = split_address(target)
        (trusted.update if mine else trusted.difference_update)(reached(document, node, parameter or ""))
    return frozenset(trusted)


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
    spec = _parameter(document, registry, node, parameter)
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


def _parameter(document: Document, registry: Registry, node: str, parameter: str) -> InputSpec | None:
    """Find the parameter behind an address, through inner workflows."""
    known = dict(document.workflows)
    for _ in range(64):
        entry = document.nodes.get(node)
        if entry is None:
            return None
        if not entry.type.startswith(PREFIX):
            spec = registry.get(entry.type)
            return None if spec is None else spec.inputs.get(parameter)
        inner = known.get(entry.type.removeprefix(PREFIX))
        if inner is None or parameter not in inner.inputs:
            return None
        document, known = inner, {**known, **inner.workflows}
        node, target = split_address(inner.inputs[parameter].to[0])
        parameter = target or ""
    return None


def _draw_seeds(document: Document, registry: Registry, draw: Callable[[], int]) -> dict[str, int]:
    """Replace seeds that say ``"random"``; returns the numbers by address."""
    seeds: dict[str, int] = {}
    for node, entry in document.nodes.items():
        for name, value in entry.params.items():
            if value != "random":
                continue
            spec = _parameter(document, registry, node, name)
            if spec is not None and spec.seed:
                entry.params[name] = seeds[f"{node}.{name}"] = draw()
    return seeds
