"""Where a plan is carried out, and what comes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias

from graphflow import events, runtime
from graphflow.errors import CancelledError, GraphflowError, NodeError
from graphflow.execution.circumstances import Circumstances
from graphflow.execution.filenames import Names
from graphflow.execution.output import WrittenFile
from graphflow.planning.checked import Source
from graphflow.planning.together import variant_of
from graphflow.store import Store

P = ParamSpec("P")
Complete: TypeAlias = "Callable[[str, Mapping[str, Any], Circumstances, Callable[[], None]], dict[str, Any]]"


class Cancellation:
    """A switch that stops a run between steps. Safe to turn from any thread or signal handler."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Stop the run at the next step."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody turned it."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise CancelledError once somebody turned it."""
        if self._event.is_set():
            raise CancelledError


class StaleError(GraphflowError):
    """A value that the plan found in the store is gone or damaged; the next plan must do without ``key``."""

    def __init__(self, key: str, where: str) -> None:
        super().__init__("a stored value is gone", where=where)
        self.key = key


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        values: By source: what the plan's targets and named outputs are.
        files: By effect node: its files.
        seconds: By node that ran: its time.
        cached: By node whose value came from the store: the tier.
        withheld: By effect node: how many items the safety filter took out.
    """

    values: dict[Source, Any] = field(default_factory=dict)
    files: dict[str, list[WrittenFile]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    cached: dict[str, str] = field(default_factory=dict)
    withheld: dict[str, int] = field(default_factory=dict)

    def update(self, other: Outcome) -> None:
        """Add what a later stage of the same run did."""
        self.values.update(other.values)
        self.files.update(other.files)
        self.seconds.update(other.seconds)
        self.cached.update(other.cached)
        self.withheld.update(other.withheld)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a run takes place.

    Attributes:
        store: Where values are kept.
        out: Folder that effects write to.
        scratch: Folder for files on their way.
        runtime: What nodes see; progress and cancellation are put in for each node, and the models of a lane that has its own.
        run_id: The run, as events and lanes know it.
        sink: Takes the events; called from worker threads too.
        cancellation: Stops the run.
        keep: Sources whose values the caller wants back.
        heavy: Whether something computes with models, so that torch is there and nodes run in its inference mode.
        notices: Takes what the user should know, whether somebody listens or not.
        complete: Completes what files carry, see :class:`graphflow.execution.recording.Recorder`.
        workflow: What the document is called.
        failures: Takes by step what nodes raised, and the run goes on with what does not hang on them; None ends it.
        names: Fills in file names, see :class:`graphflow.execution.filenames.FileNames`.
    """

    store: Store
    out: Path
    scratch: Path
    runtime: runtime.Runtime
    run_id: str = ""
    sink: events.Sink = events.ignore
    cancellation: Cancellation = field(default_factory=Cancellation)
    keep: frozenset[Source] = frozenset()
    heavy: bool = False
    notices: list[str] = field(default_factory=list)
    complete: Complete = lambda step, record, made, poll: dict(record)
    workflow: str = ""
    failures: dict[str, NodeError] | None = None
    names: Names = lambda step, stem, element: (stem, ())

    def tell(self, kind: Callable[P, events.Event], *args: P.args, **fields: P.kwargs) -> None:
        """Tell the sink of an event, which is made only where somebody listens or has to know."""
        if self.sink is events.ignore and kind is not events.Notice:
            return
        node: Any = fields.get("node", "")
        if "/" in node:  # where several variants run as one
            fields["variant"], fields["node"] = variant_of(node)
        self.pass_on(kind(*args, **fields))

    def pass_on(self, event: events.Event) -> None:
        """Pass an event on to the sink, and keep what the user should know."""
        if isinstance(event, events.Notice):
            self.notices.append(f"{event.node}: {event.message}" if event.node else event.message)
        self.sink(event)
