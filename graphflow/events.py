"""What a run reports while it goes on. Each event is plain data; ``to_json`` gives one JSON object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

__all__ = [
    "Event",
    "NodeCached",
    "NodeEvent",
    "NodeFailed",
    "NodeFinished",
    "NodeProgress",
    "NodeStarted",
    "Notice",
    "RunFinished",
    "RunStarted",
    "Sink",
    "ValueReleased",
    "Written",
    "ignore",
]


_LARGE = frozenset({"preview", "actions"})
"""Fields that are not told as JSON."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events.

    Attributes:
        run_id: Which run it comes from: eight hexadecimal digits, other ones for each run.
    """

    event: ClassVar[str] = "event"
    run_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object without previews and actions, and without what only some runs and nodes have."""
        data = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _LARGE}
        rare: dict[str, Any] = {
            "element": None,
            "elements": None,
            "variant": None,
            "lane": "",
            "variants": 0,
            "seeds": {},
        }
        return {
            "event": self.event,
            **{name: data[name] for name in data if name not in rare or data[name] != rare[name]},
        }


@dataclass(frozen=True, kw_only=True)
class NodeEvent(Event):
    """Base of the events on one node.

    Attributes:
        node: The node's id; empty for a notice on the whole run.
        element: Where the node runs once per element of a sequence: which one, from 0; else None.
        elements: Of how many.
        variant: In a sweep: the number of the first variant that needs the node, from 0; else None.
        lane: Where it runs, in a session of several devices, e.g. ``cuda:1``; else empty.
    """

    node: str
    element: int | None = None
    elements: int | None = None
    variant: int | None = None
    lane: str = ""


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A run begins: how many nodes run, are cached, write; ``seeds``: the numbers drawn, by address of the parameter.

    ``variants``: in a sweep, how many of its variants this run has. ``actions``: by node id, what the first plan says of each
    node that the targets need, as :attr:`graphflow.planning.steps.Step.action`.
    """

    event: ClassVar[str] = "run_started"
    run: int
    cached: int
    write: int
    variants: int = 0
    seeds: Mapping[str, int] = field(default_factory=dict)
    actions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """A run is over; ``status`` is ``ok``, ``failed`` or ``cancelled``."""

    event: ClassVar[str] = "run_finished"
    status: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class NodeStarted(NodeEvent):
    """A node begins."""

    event: ClassVar[str] = "started"
    type: str


@dataclass(frozen=True, kw_only=True)
class NodeProgress(NodeEvent):
    """A node has done ``step`` of ``total`` steps; ``preview`` is a picture so far or None."""

    event: ClassVar[str] = "progress"
    step: int
    total: int
    preview: Any = None


@dataclass(frozen=True, kw_only=True)
class NodeCached(NodeEvent):
    """A node's value came from the store (``memory`` or ``disk``)."""

    event: ClassVar[str] = "cached"
    type: str
    tier: str


@dataclass(frozen=True, kw_only=True)
class NodeFinished(NodeEvent):
    """A node is done."""

    event: ClassVar[str] = "finished"
    type: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class NodeFailed(NodeEvent):
    """A node raised an error."""

    event: ClassVar[str] = "failed"
    type: str
    error: str


@dataclass(frozen=True, kw_only=True)
class ValueReleased(NodeEvent):
    """Nobody reads a value any more, so it was let go."""

    event: ClassVar[str] = "released"
    output: str


@dataclass(frozen=True, kw_only=True)
class Written(NodeEvent):
    """One of an effect's ``files`` files; ``how`` is ``written``, ``copied`` (from the store) or ``up to date``."""

    event: ClassVar[str] = "written"
    path: str
    how: str
    files: int = 1


@dataclass(frozen=True, kw_only=True)
class Notice(NodeEvent):
    """Something that the user should know; ``node`` is empty where it concerns the whole run."""

    event: ClassVar[str] = "notice"
    message: str


Sink = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing with an event."""
