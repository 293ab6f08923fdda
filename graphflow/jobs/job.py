"""What a job is, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, TypeAlias, get_args

from graphflow.errors import GraphflowError, InvalidInputError

State: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
"""``interrupted``: the service ended while it ran; it goes on from its stored values when the service is back."""

STATES: tuple[State, ...] = get_args(State)
FINAL: frozenset[State] = frozenset({"done", "failed", "cancelled"})
"""States that nothing but a retry leaves."""


class UnknownJobError(InvalidInputError):
    """There is no such job."""


class JobConflictError(InvalidInputError):
    """A job is not in a state, or an idempotency key not of a request, with which this could be done."""


class QueueFullError(GraphflowError):
    """As many jobs wait as may wait."""


@dataclass(frozen=True)
class Order:
    """What a job is to do, as plain JSON.

    Attributes:
        document: The workflow, native, with all inputs set and all seeds drawn.
        seeds: The numbers that were drawn, by address.
        notices: What its import had to tell.
        targets: Addresses to compute; None is everything that writes and every output that text can show.
        safety: The safety policy.
        metadata: Whether files carry the workflow and the record of how they were made.
        previews: Whether pictures are shown while sampling goes on.
    """

    document: Mapping[str, Any]
    seeds: Mapping[str, int] = field(default_factory=dict)
    notices: Sequence[str] = ()
    targets: Sequence[str] | None = None
    safety: Literal["auto", "require", "off"] = "auto"
    metadata: bool = True
    previews: bool = False


@dataclass(frozen=True)
class Attempt:
    """One time that a job was carried out, or begun.

    Attributes:
        number: From 1.
        started: Seconds since 1970.
        finished: The same; None while it goes on.
        outcome: ``done``, ``failed``, ``cancelled``, ``paused`` or ``interrupted``; None while it goes on.
        cause: Why it gave nothing: an object with ``message``, ``where``, ``advice`` and what else the error tells.
    """

    number: int
    started: float
    finished: float | None
    outcome: str | None
    cause: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class JobFile:
    """A file that a job wrote.

    Attributes:
        node: The node that wrote it.
        name: Its path below the job's folder, with forward slashes.
        size: Its bytes.
        how: ``written``, ``copied`` (from the store) or ``up to date``.
    """

    node: str
    name: str
    size: int
    how: str

    @property
    def suffix(self) -> str:
        """Its ending with the dot, in lower case."""
        return PurePosixPath(self.name).suffix.lower()

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return dict(vars(self))


@dataclass(frozen=True)
class JobStatus:
    """Where a job stands.

    Attributes:
        id: Its name: 32 hexadecimal digits, unless who submitted it chose another.
        state: Where it stands.
        paused: Whether it waits, queued or interrupted, until it is resumed.
        stopping: What becomes of it at its next step: ``cancelled``, ``paused``, or nothing.
        priority: Higher ones go first; equal ones in the order in which they came.
        name: The workflow's name.
        origin: Which interface it came by.
        created: Seconds since 1970.
        started: When its last attempt began.
        finished: When it came to its final state.
        attempt: How many attempts there were.
        error: Why it failed, as :attr:`Attempt.cause` has it.
    """

    id: str
    state: State
    paused: bool
    stopping: str
    priority: int
    name: str
    origin: str
    created: float
    started: float | None
    finished: float | None
    attempt: int
    error: Mapping[str, Any] | None

    @property
    def final(self) -> bool:
        """Whether nothing but a retry changes it any more."""
        return self.state in FINAL


@dataclass(frozen=True)
class Job(JobStatus):
    """A job as it stands now.

    Attributes:
        result: What it gave, as the last line of ``graphflow run --json`` has it; None where nothing.
        extra: What the interface that it came by keeps with it.
    """

    result: Mapping[str, Any] | None
    extra: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object, without what its interface keeps with it."""
        return {name: value for name, value in vars(self).items() if name != "extra"}
