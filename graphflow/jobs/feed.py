"""What happens to a job, as numbered JSON objects that several followers read, each from where it stands."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from graphflow.events import Event, NodeProgress, ValueReleased
from graphflow.jobs.telling import finite

Told = tuple[int, Mapping[str, Any]]
"""A number, from 1 on, and what happened."""

_MOST = 50_000
_APART = 0.1
"""Seconds between two steps of one node that are told; the last step always is."""


class Feed:
    """The events of one job.

    They are those of :mod:`graphflow.events`, but that a value was released, and steps that follow each other quickly, are
    left out; and ``{"event": "state", "state": …, "attempt": …, "paused": …}`` whenever the job's state changes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: deque[Told] = deque(maxlen=_MOST)
        self._number = 0
        self._steps: dict[str, float] = {}
        self._listeners: set[Callable[[], None]] = set()
        self.closed = False
        self.preview: Any = None

    def take(self, event: Event) -> None:
        """Tell an event of the run."""
        if isinstance(event, ValueReleased):
            return
        if isinstance(event, NodeProgress):
            if event.preview is not None:
                self.preview = event.preview
            now = time.monotonic()
            if event.step < event.total and now - self._steps.get(event.node, 0.0) < _APART:
                return
            self._steps[event.node] = now
        self.tell(finite(event.to_json()))

    def tell(self, what: Mapping[str, Any], *, last: bool = False) -> None:
        """Tell something; ``last`` ends the feed."""
        with self._lock:
            self._number += 1
            self._told.append((self._number, what))
            self.closed = self.closed or last
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def since(self, number: int) -> tuple[list[Told], bool]:
        """Return what was told after a number, and whether nothing more will be."""
        with self._lock:
            if number >= self._number:
                return [], self.closed
            return list(islice(reversed(self._told), self._number - number))[::-1], self.closed

    async def follow(self, after: int = 0, beat: float | None = None) -> AsyncIterator[Told | None]:
        """Yield what is told after a number until the feed ends; None after ``beat`` seconds in which nothing was."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def listen() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(news.set)

        with self._lock:
            self._listeners.add(listen)
        try:
            while True:
                news.clear()
                told, closed = self.since(after)
                for number, what in told:
                    yield number, what
                    after = number
                if closed:
                    return
                if not told:
                    try:
                        await asyncio.wait_for(news.wait(), beat)
                    except TimeoutError:
                        yield None
        finally:
            with self._lock:
                self._listeners.discard(listen)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the feed ends; returns whether it has."""
        over = threading.Event()

        def listen() -> None:
            if self.closed:
                over.set()

        with self._lock:
            self._listeners.add(listen)
        try:
            return self.closed or over.wait(timeout)
        finally:
            with self._lock:
                self._listeners.discard(listen)
