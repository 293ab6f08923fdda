"""The client of a service: what :class:`graphflow.Session` does, done elsewhere, with the same results, events and errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

import httpx2

from graphflow.document.opening import Openable
from graphflow.errors import Problem
from graphflow.events import Event, Sink, ignore
from graphflow.execution.result import Result
from graphflow.jobs.job import Job, State
from graphflow.service.asynchronous import ADDRESS, Asked, AsyncClient

T = TypeVar("T")


class Client:
    """A client of a service. Safe to use from several threads, and where an event loop runs, too.

    What it raises are the errors of :class:`graphflow.Session`, and GraphflowError where the service does not answer.

    Args:
        address: Where it listens.
        token: What it wants to be shown; None is what ``GRAPHFLOW_TOKEN`` says.
        timeout: Seconds in which it must answer; waiting for a job takes as long as it takes.
        transport: What carries requests, for tests.
    """

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._inner = AsyncClient(address, token=token, timeout=timeout, transport=transport)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="graphflow-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        if self._loop.is_closed():
            return
        self._wait(self._inner.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        work = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return work.result()
        except BaseException:
            if not work.done():  # Ctrl-C came to this thread
                work.cancel()
            raise

    def health(self) -> dict[str, Any]:
        """Tell whether the service works: its version, and how many jobs it has by state."""
        return self._wait(self._inner.health())

    def nodes(self) -> list[dict[str, Any]]:
        """List the node types, as ``graphflow nodes --json`` does."""
        return self._wait(self._inner.nodes())

    def workflows(self) -> list[dict[str, Any]]:
        """List the packaged workflows, as ``graphflow workflows --json`` does."""
        return self._wait(self._inner.workflows())

    def models(self) -> list[dict[str, Any]]:
        """List the models that documents may name."""
        return self._wait(self._inner.models())

    def validate(
        self, workflow: Openable, inputs: Mapping[str, Any] | None = None, **asked: Unpack[Asked]
    ) -> list[Problem]:
        """Return every problem of a workflow, but for files that the service does not have.

        Args:
            workflow: As in :meth:`graphflow.Session.run`; it is opened here.
            inputs: Values for exposed inputs.
            **asked: See :class:`graphflow.service.asynchronous.Asked`.
        """
        return self._wait(self._inner.validate(workflow, inputs, **asked))

    def plan(
        self, workflow: Openable, inputs: Mapping[str, Any] | None = None, **asked: Unpack[Asked]
    ) -> dict[str, Any]:
        """Return what a workflow would run, as ``graphflow plan --json`` has it."""
        return self._wait(self._inner.plan(workflow, inputs, **asked))

    def submit(
        self,
        workflow: Openable,
        inputs: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        **asked: Unpack[Asked],
    ) -> Job:
        """Queue a job.

        Args:
            workflow: As in :meth:`graphflow.Session.run`; it is opened here.
            inputs: Values for exposed inputs; :meth:`upload` gives names of files.
            key: Idempotency key: submitted again with it, the same request gives the job that is there.
            **asked: See :class:`graphflow.service.asynchronous.Asked`.

        Raises:
            WorkflowError: With every problem of the document.
            JobConflictError: The key was used for another request.
            QueueFullError: Too much waits.
        """
        return self._wait(self._inner.submit(workflow, inputs, key=key, **asked))

    def job(self, id: str) -> Job:
        """Return a job as it stands now.

        Raises:
            UnknownJobError: There is none of this id.
        """
        return self._wait(self._inner.job(id))

    def jobs(self, *states: State, limit: int = 100, before: str | None = None) -> list[Job]:
        """Return jobs, the newest first, without what they gave; ``before`` is the last one of the page before."""
        return self._wait(self._inner.jobs(*states, limit=limit, before=before))

    def cancel(self, id: str) -> Job:
        """End a job; one that runs stops at its next step."""
        return self._wait(self._inner.cancel(id))

    def pause(self, id: str) -> Job:
        """Have a job wait until it is resumed; one that runs stops at its next step."""
        return self._wait(self._inner.pause(id))

    def resume(self, id: str) -> Job:
        """Have a paused job go on."""
        return self._wait(self._inner.resume(id))

    def retry(self, id: str) -> Job:
        """Queue a job again that failed, was cancelled or was given up."""
        return self._wait(self._inner.retry(id))

    def remove(self, id: str) -> None:
        """Forget a job that does not run, with its files."""
        self._wait(self._inner.remove(id))

    def upload(self, path: Path | str) -> str:
        """Send a file, unless it is there; returns the name by which documents and inputs call it."""
        return self._wait(self._inner.upload(path))

    def events(self, id: str) -> Iterator[Event]:
        """Yield a job's events, from its first one, until it is over."""
        following = self._inner.events(id)
        try:
            while True:
                try:
                    yield self._wait(_next(following))
                except StopAsyncIteration:
                    return
        finally:
            self._wait(_end(following))

    def result(self, id: str, *, out: Path | str = "out", sink: Sink = ignore) -> Result:
        """Wait for a job and return what it gave.

        Args:
            id: The job.
            out: Folder for its files; nothing there is overwritten.
            sink: Takes its events, in a thread of the client.

        Raises:
            NodeError: A node failed.
            WorkflowError: With every problem of the document.
            CancelledError: It was cancelled.
        """
        return self._wait(self._inner.result(id, out=out, sink=sink))

    def run(
        self,
        workflow: Openable,
        inputs: Mapping[str, Any] | None = None,
        *,
        out: Path | str = "out",
        sink: Sink = ignore,
        **asked: Unpack[Asked],
    ) -> Result:
        """Queue a job, wait for it, and return what it gave; where that is interrupted, the job is cancelled.

        Args:
            workflow: As in :meth:`submit`.
            inputs: As in :meth:`submit`.
            out: As in :meth:`result`.
            sink: As in :meth:`result`.
            **asked: See :class:`graphflow.service.asynchronous.Asked`.

        Returns:
            The result; its outputs are JSON, what is none is described, and its plan stays with the service.
        """
        return self._wait(self._inner.run(workflow, inputs, out=out, sink=sink, **asked))


async def _next(following: AsyncIterator[T]) -> T:
    return await anext(following)


async def _end(following: Any) -> None:
    await following.aclose()
