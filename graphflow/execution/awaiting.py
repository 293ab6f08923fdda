"""Runs for programs with an event loop: each in a thread of its own, awaited, or followed by its events."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Self, TypeVar

from graphflow.errors import CancelledError, GraphflowError
from graphflow.events import Event, Sink
from graphflow.execution.environment import Cancellation
from graphflow.execution.result import Result

T = TypeVar("T")


async def in_thread(call: Callable[[], T], cancellation: Cancellation) -> T:
    """Await a call in a thread of its own; cancelling the task turns the switch and waits until the call has ended.

    Raises:
        CancelledError: That of asyncio: the task was cancelled.
        Exception: What the call raises.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="graphflow-run")  # the loop's own threads are for short work
    work = asyncio.get_running_loop().run_in_executor(pool, contextvars.copy_context().run, call)
    pool.shutdown(wait=False)
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        cancellation.cancel()
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        _seen(work)
        raise
    return work.result()


class Events(AsyncIterator[Event]):
    """The events of one run, in their order: ``async for event in session.events("txt2img")``.

    The run begins when the first event is asked for. It is stopped within a step where the task that follows it is
    cancelled, at the end of an ``async with`` block, by :meth:`aclose`, and when nobody has this object any more.
    """

    def __init__(self, run: Callable[[Sink], Result], cancellation: Cancellation) -> None:
        self._run = run
        self._cancellation = cancellation
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._task: asyncio.Task[Result] | None = None
        self._closed = False

    @property
    def result(self) -> Result:
        """What the run gave.

        Raises:
            GraphflowError: It is not over yet, or what it raised; CancelledError where it was stopped.
        """
        if self._task is None or not self._task.done():
            raise GraphflowError("the run is not over", where="Events.result", advice="take its events to the end")
        if self._task.cancelled():
            raise CancelledError
        return self._task.result()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._task is None:
            if self._closed:
                raise StopAsyncIteration
            self._task = self._begin()
        try:
            event = await self._queue.get()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        if event is not None:
            return event
        self._queue.put_nowait(None)  # for whoever asks again
        if not self._task.cancelled():
            self._task.result()  # raises what the run raised
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop the run, and wait until it has ended; without effect where it is over."""
        self._closed = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._task is not None and not self._task.done():
            self._cancellation.cancel()

    def _begin(self) -> asyncio.Task[Result]:
        loop, queue, run = asyncio.get_running_loop(), self._queue, self._run  # not self, which could not be let go of

        def sink(event: Event) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, event)

        def over(task: asyncio.Future[Result]) -> None:
            _seen(task)
            queue.put_nowait(None)

        task = asyncio.create_task(in_thread(lambda: run(sink), self._cancellation))
        task.add_done_callback(over)
        return task


def _seen(work: asyncio.Future[T]) -> None:
    """Take note of an error, so that asyncio does not report it as one that nobody saw."""
    if not work.cancelled():
        work.exception()
