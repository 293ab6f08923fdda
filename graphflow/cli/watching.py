"""How a run is watched: bars or lines for people, events for programs, previews, and signals that stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from graphflow.cli.failures import print_json
from graphflow.cli.output import answers
from graphflow.cli.source import named
from graphflow.cli.terminal import clean, console
from graphflow.errors import CancelledError
from graphflow.events import Notice, ignore

if TYPE_CHECKING:
    from graphflow.document.opening import Opened
    from graphflow.events import Event, Sink
    from graphflow.execution.environment import Cancellation
    from graphflow.session import Session

    MakeDisplay = Callable[[Console, Cancellation], AbstractContextManager[Sink]]


@dataclass(frozen=True)
class Show:
    """What is printed.

    Attributes:
        as_json: Events as JSON lines instead.
        quiet: Nothing but paths.
        listen: Also gets the events.
    """

    as_json: bool = False
    quiet: bool = False
    listen: Sink = ignore

    @contextmanager
    def watching(
        self,
        session: Session,
        loaded: Opened,
        display: MakeDisplay,
        told: Sink,
        *,
        preview: Path | None,
        safety: str | None,
    ) -> Iterator[dict[str, Any]]:
        """Watch a run until the block ends.

        Args:
            session: The session.
            loaded: The workflow.
            display: Makes what people see.
            told: Also gets the events, before they are shown.
            preview: Folder for pictures of what is being sampled.
            safety: The safety policy; None is that of the settings.

        Yields:
            Options of :meth:`graphflow.session.Session.run`.

        Raises:
            CancelledError: The run was stopped; it says what becomes of it.
        """
        from graphflow.cli.interruption import interruption
        from graphflow.cli.previews import PreviewFiles

        with ExitStack() as stack:
            interrupted = stack.enter_context(interruption())
            stack.enter_context(named(loaded))
            shown: Sink = _Lines(interrupted.cancellation.cancel) if self.as_json else ignore
            if not self.as_json and not self.quiet:
                shown = stack.enter_context(display(console(error=True), interrupted.cancellation))
            pictures = ignore if preview is None else PreviewFiles(preview)
            if preview is not None and (safety or session.settings.safety) == "require":
                shown(
                    Notice(
                        run_id="",
                        node="",
                        message="no previews: the safety policy is 'require', and nobody checks them",
                    )
                )

            def each(event: Event) -> None:
                for sink in (self.listen, told, interrupted.notice, pictures, shown):
                    sink(event)

            try:
                yield {"sink": each, "cancellation": interrupted.cancellation, "previews": preview is not None}
            except (CancelledError, KeyboardInterrupt):
                stored = "; what is finished is stored, so the next run goes on from there"
                raise CancelledError(f"interrupted{'' if session.store.disk is None else stored}") from None

    def paths(self, paths: Iterable[Path]) -> None:
        """Print nothing but paths."""
        for path in paths:
            answers().write(f"{clean(path)}\n")


class _Lines:
    """A sink that prints JSON lines; where nobody reads them any more, the run is stopped."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self._broken = False

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._broken:
                return
            try:
                print_json(event.to_json())
            except BrokenPipeError:
                self._broken = True
                self._stop()
