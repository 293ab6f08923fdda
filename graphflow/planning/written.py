"""Problems of what a document says where something else counts: below a caller's values, or a host's, or unused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from graphflow.document.document import Document
from graphflow.document.flatten import PREFIX, reached
from graphflow.errors import Problem
from graphflow.planning.checked import Checked
from graphflow.planning.expand import Expanded, expand
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
    scope = {**around, **document.workflows}
    for entry in document.nodes.values():
        inner = scope.get(entry.type.removeprefix(PREFIX)) if entry.type.startswith(PREFIX) else None
        if inner is not None and id(inner) not in run:
            run.add(id(inner))
            _find_run(inner, scope, run)


def _standing(
    document: Document, registry: Registry, around: Mapping[str, Document], given: list[str], place: str
) -> Iterator[tuple[str, Document, Problem]]:
    """Yield the problems of a document that stands alone, and of those inside it, each with its document and place."""
    scope = {**around, **document.workflows}
    if given or place:  # the outer one has been checked where nothing else counts
        yield from ((place, document, problem) for problem in _problems(document, registry, scope, given, place))
    for name, inner in document.workflows.items():
        turned = [target for exposed in inner.inputs.values() for target in exposed.to]
        yield from _standing(inner, registry, scope, turned, f"{place}workflows.{name}.")


def _problems(
    document: Document, registry: Registry, scope: dict[str, Document], given: list[str], place: str
) -> Iterator[Problem]:
    expanded = expand(document.model_copy(update={"workflows": scope}), registry, draw=int)
    missing = {
        f"nodes.{node}.{kind}.{name}"
        for address in given
        for target, _, parameter in [address.partition(".")]
        for node, name in reached(expanded.document, target, parameter)
        if not _says(expanded, node, name)
        for kind in ("params", "links")
    }
    for problem in (*expanded.problems, *validate(expanded.flat, registry).problems):
        if problem.path not in missing and not (place and problem.path == "nodes"):  # an inner one need write nothing
            yield problem


def _says(expanded: Expanded, node: str, parameter: str) -> bool:
    entry = expanded.flat.nodes.get(node)
    return entry is not None and (parameter in entry.params or parameter in entry.links)
