"""What a person sees while a run goes on: a bar per node with its steps, on standard error."""

from __future__ import annotations

from types import TracebackType
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


class Display:
    """A sink that draws bars on a terminal, and prints one line per node elsewhere.

    Args:
        console: Standard error.
        cancellation: Is looked at, to say that the run is stopping.
    """

    def __init__(self, console: Console, cancellation: Cancellation) -> None:
        self._console = console
        self._live = console.is_terminal
        self._bars: dict[str, TaskID] = {}  # by shown name
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            _Steps(),
            TimeElapsedColumn(),
            _State(cancellation),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._overall = self._progress.add_task("preparing", total=None, overall=True)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        match event:
            case events.RunStarted():
                self._progress.update(self._overall, description="starting", total=event.run + event.write)
            case events.NodeStarted():
                self._progress.update(self._overall, description="nodes")
                self._bars[_name(event)] = self._progress.add_task(clean(_name(event)), total=None)
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
                place = f"{_name(event)}: " if event.node else ""
                self._console.print(styled(f"note: {place}{event.message}", "yellow"))
            case _:
                pass

    def _end(self, event: events.NodeEvent, *, advance: bool) -> None:
        bar = self._bars.pop(_name(event), None)
        if bar is not None:
            self._progress.remove_task(bar)
        if advance:
            self._progress.advance(self._overall)


def _name(event: events.NodeEvent) -> str:
    """Return ``sample``, or ``sample 3/100`` for an element of a sequence."""
    return event.node if event.element is None else f"{event.node} {event.element + 1}/{event.elements}"


def _is_last(event: events.NodeEvent) -> bool:
    """Tell whether a node is done with this; its elements begin in order."""
    return event.element is None or event.element + 1 == event.elements
