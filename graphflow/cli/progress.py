"""What a person sees while a run goes on: a bar per node with its steps, on standard error."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from graphflow import events
from graphflow.cli.terminal import clean, duration, styled
from graphflow.execution.environment import Cancellation


class _State(ProgressColumn):
    """Says that the run is about to stop, once it is."""

    def __init__(self, cancellation: Cancellation) -> None:
        super().__init__()
        self._cancellation = cancellation

    def render(self, task: Task) -> Text:
        """Return the text for one bar."""
        if self._cancellation.cancelled and task.fields.get("overall"):
            return Text("stopping after this step; Ctrl-C again stops at once", style="yellow")
        return Text("")


class _Steps(ProgressColumn):
    """Shows ``3/20`` where the number of steps is known."""

    def render(self, task: Task) -> Text:
        """Return the text for one bar."""
        return Text("" if task.total is None else f"{int(task.completed)}/{int(task.total)}", style="green")


class _Bars:
    """What draws bars on a terminal, while it is entered.

    Args:
        console: Standard error.
        cancellation: Is looked at, to say that the run is stopping.
        first: What the first bar is called.
        total: How far it goes; None where that is not known yet.
        columns: Further columns, behind the time.
    """

    def __init__(
        self, console: Console, cancellation: Cancellation, first: str, total: int | None, *columns: ProgressColumn
    ) -> None:
        self._console = console
        self._live = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            _Steps(),
            TimeElapsedColumn(),
            *columns,
            _State(cancellation),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._overall = self._progress.add_task(first, total=total, overall=True)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _tell(self, event: events.Notice) -> None:
        place = f"{_name(event)}: " if event.node else ""
        self._console.print(styled(f"note: {place}{event.message}", "yellow"))


class Display(_Bars):
    """A sink that draws bars on a terminal, and prints one line per node elsewhere.

    Args:
        console: Standard error.
        cancellation: Is looked at, to say that the run is stopping.
    """

    def __init__(self, console: Console, cancellation: Cancellation) -> None:
        super().__init__(console, cancellation, "preparing", None)
        self._bars: dict[str, TaskID] = {}  # by shown name

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        match event:
            case events.RunStarted():
                self._progress.update(self._overall, description="starting", total=event.run + event.write)
            case events.NodeStarted():
                self._progress.update(self._overall, description="nodes")
                at = f" ({event.lane})" if event.lane else ""
                self._bars[_name(event)] = self._progress.add_task(clean(_name(event) + at), total=None)
            case events.NodeProgress():
                if _name(event) in self._bars:
                    self._progress.update(self._bars[_name(event)], completed=event.step, total=event.total)
            case events.NodeFinished():
                self._end(event, advance=_is_last(event))
                if not self._live:
                    self._console.print(styled(f"{_name(event)}: {duration(event.seconds)}"))
            case events.NodeFailed():
                self._end(event, advance=False)
            case events.Notice():
                self._tell(event)
            case _:
                pass

    def _end(self, event: events.NodeEvent, *, advance: bool) -> None:
        bar = self._bars.pop(_name(event), None)
        if bar is not None:
            self._progress.remove_task(bar)
        if advance:
            self._progress.advance(self._overall)


class SweepDisplay(_Bars):
    """A sink that draws one bar for a whole sweep with the time left, and prints one line per file elsewhere.

    Args:
        console: Standard error.
        cancellation: Is looked at, to say that the run is stopping.
        variants: How many variants there are.
    """

    def __init__(self, console: Console, cancellation: Cancellation, *, variants: int) -> None:
        super().__init__(console, cancellation, "planning", variants, TextColumn("left:"), TimeRemainingColumn())
        self._before = self._window = 0  # variants of the runs before this one, and of this one
        self._tasks = 1
        self._done = 0
        self._shares: dict[str, float] = {}  # of nodes that run

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        match event:
            case events.RunStarted():
                self._before += self._window
                self._window, self._tasks, self._done = event.variants, max(1, event.run + event.write), 0
                self._progress.update(self._overall, description="variants")
            case events.NodeProgress():
                self._shares[_name(event)] = event.step / max(1, event.total)
            case events.NodeFinished() | events.NodeFailed():
                self._shares.pop(_name(event), None)
                self._done += _is_last(event)
            case events.Written():
                self._done += event.how != "written"  # the node itself did not run
                if not self._live:
                    number = f"{event.variant}: " if event.variant is not None else ""
                    self._console.print(styled(f"{number}{event.path} ({event.how})"), soft_wrap=True)
            case events.Notice():
                self._tell(event)
            case _:
                return
        share = min(1.0, (self._done + sum(self._shares.values())) / self._tasks)
        self._progress.update(self._overall, completed=self._before + self._window * share)


def _name(event: events.NodeEvent) -> str:
    """Return ``sample``, ``sample 3/100`` for an element of a sequence, ``12: sample`` for a variant of a sweep."""
    name = event.node if event.element is None else f"{event.node} {event.element + 1}/{event.elements}"
    return name if event.variant is None else f"{event.variant}: {name}"


def _is_last(event: events.NodeEvent) -> bool:
    """Tell whether a node is done with this; its elements begin in order."""
    return event.element is None or event.element + 1 == event.elements
