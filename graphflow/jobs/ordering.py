"""From what a stranger asks for to the order of a job, and from an order to what is run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graphflow.errors import Problem, WorkflowError
from graphflow.jobs.job import Order
from graphflow.planning.validate import validate

if TYPE_CHECKING:
    from graphflow.document.opening import Openable
    from graphflow.planning.expand import Expanded
    from graphflow.planning.safety import Policy
    from graphflow.session import Session
    from graphflow.spec.registry import Registry

_SIZES = ("width", "height", "batch_size")
_STRICTNESS: Mapping[Policy, int] = {"off": 0, "auto": 1, "require": 2}


def make_order(
    session: Session,
    workflow: Openable,
    inputs: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    targets: Iterable[str] | None = None,
    safety: Policy | None = None,
    metadata: bool = True,
    previews: bool = False,
    pixels: int | None = None,
) -> Order:
    """Check what a stranger asks for, set its inputs and draw its seeds.

    Args:
        session: Where it will be carried out.
        workflow: The workflow.
        inputs: Values for exposed inputs.
        overrides: Values for ``node.parameter``.
        targets: Addresses to compute.
        safety: The safety policy, where it is stricter than that of the settings.
        metadata: Whether files carry the workflow and the record of how they were made.
        previews: Whether pictures are wanted while sampling goes on.
        pixels: The most pixels of what a node makes by a width, a height and a batch size; None sets no bound.

    Raises:
        InvalidInputError: It cannot be opened.
        WorkflowError: With every problem of the document.
    """
    given = session.expand(workflow, inputs, overrides)
    checked = validate(given.flat, session.registry)
    if problems := [*given.problems, *checked.problems, *_too_large(given, session.registry, pixels)]:
        raise WorkflowError(problems)
    return Order(
        document=given.document.to_json(),
        seeds=dict(given.seeds),
        notices=[*given.notices, *checked.notices],
        targets=None if targets is None else list(targets),
        safety=stricter(safety, session.settings.safety),
        metadata=metadata,
        previews=previews,
    )


def expanded(session: Session, order: Order) -> Expanded:
    """Return the workflow of an order; none of its values is the user's own, so it reads no file but what it may."""
    given = session.expand(order.document)
    return replace(given, trusted=frozenset(), seeds=order.seeds, notices=tuple(order.notices))


def stricter(asked: Policy | None, own: Policy) -> Policy:
    """Return the stricter of two safety policies; None is no policy."""
    return own if asked is None else max(asked, own, key=_STRICTNESS.__getitem__)


def _too_large(given: Expanded, registry: Registry, most: int | None) -> Iterator[Problem]:
    if most is None:
        return
    for id, entry in given.flat.nodes.items():
        spec = registry.get(entry.type)
        inputs = {} if spec is None else spec.inputs
        sizes = [entry.params.get(name, inputs[name].default) for name in _SIZES if name in inputs]
        numbers = [size for size in sizes if isinstance(size, int)]
        if {"width", "height"} <= inputs.keys() and len(numbers) == len(sizes) and math.prod(numbers) > most:
            text = f"{' × '.join(map(str, numbers))} is more than the {most:,} pixels that this service makes"
            yield Problem(f"nodes.{id}", text, "make it smaller")
