"""What a run reports while it goes on. Each event is plain data; ``to_json`` gives one JSON object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

__all__ = [
    "Event",
    "NodeCached",
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


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events."""

    event: ClassVar[str] = "event"

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object; previews are left out."""
        data = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "preview"}
        return {"event": self.event, **data}


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A run begins: how many nodes run, are cached, write."""

    event: ClassVar[str] = "run_started"
    run: int
    cached: int
    write: int


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """A run is over; ``status`` is ``ok``, ``failed`` or ``cancelled``."""

    event: ClassVar[str] = "run_finished"
    status: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class NodeStarted(Event):
    """A node begins."""

    event: ClassVar[str] = "started"
    node: str
    type: str


@dataclass(frozen=True, kw_only=True)
class NodeProgress(Event):
    """A node has done ``step`` of ``total`` steps; ``preview`` is a picture so far or None."""

    event: ClassVar[str] = "progress"
    node: str
    step: int
    total: int
    preview: Any = None


@dataclass(frozen=True, kw_only=True)
class NodeCached(Event):
    """A node's value came from the store (``memory`` or ``disk``)."""

    event: ClassVar[str] = "cached"
    node: str
    type: str
    tier: str


@dataclass(frozen=True, kw_only=True)
class NodeFinished(Event):
    """A node is done."""

    event: ClassVar[str] = "finished"
    node: str
    type: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class NodeFailed(Event):
    """A node raised an error."""

    event: ClassVar[str] = "failed"
    node: str
    type: str
    error: str


@dataclass(frozen=True, kw_only=True)
class ValueReleased(Event):
    """Nobody reads a value any more, so it was let go."""

    event: ClassVar[str] = "released"
    node: str
    output: str


@dataclass(frozen=True, kw_only=True)
class Written(Event):
    """An effect's file; ``how`` is ``written``, ``copied`` (from the store) or ``up to date``."""

    event: ClassVar[str] = "written"
    node: str
    path: str
    how: str


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something that the user should know; ``node`` is empty where it concerns the whole run."""

    event: ClassVar[str] = "notice"
    node: str
    message: str


Sink = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing with an event."""
