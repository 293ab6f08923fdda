"""Ctrl-C: the first stops the run at its next step, the second leaves at once. SIGTERM counts the same."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from graphflow.basics import atomic
from graphflow.cli.failures import INTERRUPTED
from graphflow.events import Event, NodeCached, NodeStarted
from graphflow.execution.environment import Cancellation

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"


class Interruption:
    """Turns signals into a cancellation.

    Before the first node begins there is nothing to wind up, so a signal ends planning and imports at once.

    Attributes:
        cancellation: What the run looks at.
    """

    def __init__(self) -> None:
        self.cancellation = Cancellation()
        self._running = False

    def notice(self, event: Event) -> None:
        """Learn from the run's events that nodes have begun."""
        if isinstance(event, NodeStarted | NodeCached):
            self._running = True

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.cancellation.cancelled:
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
            atomic.abandon()
            os._exit(INTERRUPTED)
        self.cancellation.cancel()
        if not self._running:
            raise KeyboardInterrupt
        if not sys.stderr.isatty():
            os.write(2, b"stopping after the current step; a second Ctrl-C stops at once\n")


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Handle signals until the block ends."""
    state = Interruption()
    before: dict[int, Any] = {number: signal.signal(number, state.handle) for number in _SIGNALS}
    try:
        yield state
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
