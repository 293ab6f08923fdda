"""What planning and running take beside the workflow and its inputs, for functions that pass it on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict

from graphflow.basics.arguments import require
from graphflow.execution.environment import Cancellation

if TYPE_CHECKING:
    from graphflow.events import Sink
    from graphflow.planning.safety import Policy


class Addressed(Protocol):
    """What stands for an address: a link of the builder."""

    @property
    def address(self) -> str:
        """The address."""
        ...


Targets: TypeAlias = "str | Addressed | Iterable[str | Addressed] | None"
"""Addresses to compute; one needs no list."""


class PlanOptions(TypedDict, total=False):
    """Options of :meth:`graphflow.session.Session.plan`, which explains them."""

    overrides: Mapping[str, Any] | None
    targets: Targets
    safety: Policy | None
    folder: Path | str | None
    input_folder: Path | str | None
    metadata: bool


class EventsOptions(PlanOptions, total=False):
    """Options of :meth:`graphflow.session.Session.events`."""

    out: Path | str
    cancellation: Cancellation | None
    previews: bool


class RunOptions(EventsOptions, total=False):
    """Options of :meth:`graphflow.session.Session.run`, which explains them."""

    sink: Sink


_MAPPING = (Mapping, type(None))
_PATH = (str, os.PathLike)

_WANTED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "inputs": (_MAPPING, "a mapping from names of inputs to values"),
    "overrides": (_MAPPING, "a mapping from 'node.parameter' to values"),
    "out": (_PATH, "the path of a folder"),
    "folder": ((*_PATH, type(None)), "the path of a folder"),
    "input_folder": ((*_PATH, type(None)), "the path of a folder"),
    "sink": ((Callable,), "a function that takes one event"),
    "cancellation": ((Cancellation, type(None)), "a graphflow.Cancellation"),
}


def check_options(**options: object) -> None:
    """Refuse options of a wrong type, by name.

    Raises:
        InvalidInputError: One is.
    """
    for name, value in options.items():
        kinds, wanted = _WANTED[name]
        require(value, kinds, name, wanted)
        for key in value if isinstance(value, Mapping) else ():
            require(key, str, name, wanted)


def addresses(targets: Targets) -> list[str] | None:
    """Return targets as a list of addresses; a link of the builder stands for its address.

    Raises:
        InvalidInputError: One is no address.
    """
    if targets is None:
        return None
    several: Any = targets
    if isinstance(targets, str) or hasattr(targets, "address") or not isinstance(targets, Iterable):
        several = [targets]
    found: list[str] = []
    for target in several:
        address = getattr(target, "address", target)
        require(address, str, "targets", "node ids or addresses", "write targets=['decode'] or ['checkpoint.vae']")
        found.append(str(address))
    return found
