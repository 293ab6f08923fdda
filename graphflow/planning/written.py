"""Problems of what a document says where something else counts: below a caller's values, or a host's, or unused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from graphflow.document.document import Document
from graphflow.document.flatten import PREFIX, reached, within
from graphflow.errors import Problem
from graphflow.planning.checked import Checked
from graphflow.planning.expand import expand, parameter_behind
from graphflow.planning.validate import validate
from graphflow.spec.registry import Registry


def check_covered(document: Document, registry: Registry, given: Iterable[str], checked: Checked) -> None:
    """Check a document and its inner workflows as they are written, each for itself.

    Args:
        document: The document as its file has it.
        registry: The known node types.
        given: Addresses of parameters that the caller gives; they may be missing.
        checked: Knows the problems of what counts, and gets the others; those of an inner workflow that no node runs as
            notices.
    """
    known = {view for problem in checked.problems for view in _views(problem)}
    run = set[int]()
    _find_run(document, {}, run)
    for place, part, problem in _standing(document, registry, {}, list(given), ""):
        if known.isdisjoint(_views(problem)):
            known.update(_views(problem))
            told = replace(problem, path=place + problem.path)
            if part is document or id(part) in run:
                checked.problems.append(told)
            else:
                checked.notices.append(f"no node runs this inner workflow: {told}")


def _views(problem: Problem) -> Iterator[tuple[str, str]]:
    """Yield path and message, and those inside each inner workflow that the node was unfolded from."""
    yield problem.path, problem.message
    head, _, rest = problem.path.partition(".")
    message = problem.message
    while head == "nodes" and ":" in rest:
        host, _, rest = rest.partition(":")
        message = message.replace(f"{host}:", "")
        yield f"{head}.{rest}", message


def _find_run(document: Document, around: Mapping[str, Document], run: set[int]) -> None:
    """Collect the inner workflows that nodes run, by identity."""
    scope = within(around, document)
    for entry in document.nodes.values():
        inner = scope.get(entry.type.removeprefix(PREFIX)) if entry.type.startswith(PREFIX) else None
        if inner is not None and id(inner) not in run:
            run.add(id(inner))
            _find_run(inner, scope, run)


def _standing(
    document: Document, registry: Registry, around: Mapping[str, Document], given: list[str], place: str
) -> Iterator[tuple[str, Document, Problem]]:
    """Yield the problems of a document that stands alone, and of those inside it, each with its document and place."""
    scope = within(around, document)
    if given or place:  # the outer one has been checked where nothing else counts
        found = _problems(document if not place else document.model_copy(update={"workflows": {}}), registry, given)
        yield from ((place, document, problem) for problem in found if not place or problem.path != "nodes")
    if place:
        yield from ((place, document, problem) for problem in _host_problems(document, registry, scope))
    for name, inner in document.workflows.items():
        turned = [target for exposed in inner.inputs.values() for target in exposed.to]
        yield from _standing(inner, registry, scope, turned, f"{place}workflows.{name}.")


def _problems(document: Document, registry: Registry, given: list[str]) -> Iterator[Problem]:
    """Yield the problems of the nodes; where nothing is written, what is given is not missing."""
    expanded = expand(document, registry, draw=int)
    nodes = expanded.flat.nodes
    missing = {
        f"nodes.{node}.{kind}.{name}"
        for address in given
        for target, _, parameter in [address.partition(".")]
        for node, name in reached(expanded.document, target, parameter)
        if node in nodes and name not in nodes[node].params and name not in nodes[node].links
        for kind in ("params", "links")
    }
    found = validate(expanded.flat, registry).problems
    yield from (problem for problem in found if problem.path not in missing)


def _host_problems(document: Document, registry: Registry, scope: Mapping[str, Document]) -> Iterator[Problem]:
    """Yield the problems of values that go into inner workflows, as those of the node where each ends."""
    whole = document.model_copy(update={"workflows": scope})
    for host, entry in document.nodes.items():
        for name, value in entry.params.items() if entry.type.startswith(PREFIX) else ():
            spec = parameter_behind(whole, registry, host, name)
            end = next(reached(whole, host, name), None)
            if spec is None or spec.linked or end is None or (spec.seed and value == "random"):
                continue
            _, wrong = spec.check(value)
            if wrong is not None:
                yield Problem(f"nodes.{end[0]}.params.{end[1]}", wrong)
