"""Clients of a service: what :class:`graphflow.Session` does, done elsewhere, with the same results, events and errors."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeVar, Unpack, cast

import httpx2

from graphflow import events as kinds
from graphflow.basics.atomic import write_new
from graphflow.document.opening import Openable, opened
from graphflow.errors import (
    CancelledError,
    GraphflowError,
    InvalidInputError,
    NodeError,
    Problem,
    WorkflowError,
)
from graphflow.events import Event, Sink, ignore
from graphflow.execution.output import WrittenFile, place, require_folder, safe_parts
from graphflow.execution.result import Result
from graphflow.jobs.job import FINAL, Job, State
from graphflow.service.options import DEFAULT_PORT, TOKEN_VARIABLE
from graphflow.service.statuses import kind_of

if TYPE_CHECKING:
    from graphflow.planning.steps import Plan

T = TypeVar("T")

ADDRESS = f"http://127.0.0.1:{DEFAULT_PORT}"
_EVENTS: Mapping[str, type[Event]] = {
    kind.event: kind for kind in vars(kinds).values() if isinstance(kind, type) and issubclass(kind, Event)
}
_COUNTER = re.compile(r"_\d{5,}\Z")
_TRIES = 10


class Asked(TypedDict, total=False):
    """What can be asked beside the workflow and its inputs.

    Attributes:
        overrides: Values for ``node.parameter``.
        targets: Addresses to compute instead of everything.
        safety: The safety policy; it counts where it is stricter than the service's.
        metadata: Whether files carry the workflow and the record of how they were made.
        previews: Whether pictures are wanted while sampling goes on.
        priority: Higher ones go first.
        paused: Whether it waits until it is resumed.
    """

    overrides: Mapping[str, Any]
    targets: Sequence[str]
    safety: Literal["auto", "require", "off"]
    metadata: bool
    previews: bool
    priority: int
    paused: bool


class AsyncClient:
    """A client of a service, for programs with an event loop; :class:`Client` explains the methods.

    Args:
        address: Where it listens.
        token: What it wants to be shown; None is what ``GRAPHFLOW_TOKEN`` says.
        timeout: Seconds in which it must answer; waiting for a job takes as long as it takes.
        transport: What carries requests, for tests.

    Raises:
        InvalidInputError: The address is none.
    """

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        token = token or os.environ.get(TOKEN_VARIABLE)
        self.address = address.rstrip("/")
        if not self.address.lower().startswith(("http://", "https://")):
            raise InvalidInputError("is no address of a service", where=address, advice=f"write one such as {ADDRESS}")
        self._http = httpx2.AsyncClient(
            base_url=self.address,
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=timeout,
            transport=transport,
            trust_env=False,  # a proxy is for other machines
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            answer = await self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            raise self._silent(error) from error
        if answer.is_error:
            raise _error(answer)
        return answer

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        return (await self._ask(method, path, **options)).json()

    async def _job(self, method: str, path: str, **options: Any) -> Job:
        return _job(await self._json(method, path, **options))

    def _silent(self, error: Exception) -> GraphflowError:
        text = f"the service does not answer ({type(error).__name__})"
        return GraphflowError(text, where=self.address, advice="`graphflow serve` starts one")

    async def health(self) -> dict[str, Any]:
        """Tell whether the service works."""
        return cast("dict[str, Any]", await self._json("GET", "/v1/health"))

    async def nodes(self) -> list[dict[str, Any]]:
        """List the node types."""
        return cast("list[dict[str, Any]]", await self._json("GET", "/v1/nodes"))

    async def workflows(self) -> list[dict[str, Any]]:
        """List the packaged workflows."""
        return cast("list[dict[str, Any]]", await self._json("GET", "/v1/workflows"))

    async def models(self) -> list[dict[str, Any]]:
        """List the models."""
        return cast("list[dict[str, Any]]", await self._json("GET", "/v1/models"))

    async def validate(
        self, workflow: Openable, inputs: Mapping[str, Any] | None = None, **asked: Unpack[Asked]
    ) -> list[Problem]:
        """Return every problem of a workflow."""
        told = await self._json("POST", "/v1/validate", json=_asked(workflow, inputs, asked))
        return [Problem(**problem) for problem in told["problems"]]

    async def plan(
        self, workflow: Openable, inputs: Mapping[str, Any] | None = None, **asked: Unpack[Asked]
    ) -> dict[str, Any]:
        """Return what a workflow would run, as ``graphflow plan --json`` has it."""
        return cast("dict[str, Any]", await self._json("POST", "/v1/plan", json=_asked(workflow, inputs, asked)))

    async def submit(
        self,
        workflow: Openable,
        inputs: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        **asked: Unpack[Asked],
    ) -> Job:
        """Queue a job."""
        headers = {} if key is None else {"idempotency-key": key}
        return await self._job("POST", "/v1/jobs", json=_asked(workflow, inputs, asked), headers=headers)

    async def job(self, id: str) -> Job:
        """Return a job as it stands now."""
        return await self._job("GET", f"/v1/jobs/{id}")

    async def jobs(self, *states: State, limit: int = 100, before: str | None = None) -> list[Job]:
        """Return jobs, the newest first, without what they gave."""
        asked: dict[str, Any] = {"state": list(states), "limit": limit}
        told = await self._json("GET", "/v1/jobs", params=asked if before is None else {**asked, "before": before})
        return [_job(row) for row in told["jobs"]]

    async def cancel(self, id: str) -> Job:
        """End a job."""
        return await self._job("POST", f"/v1/jobs/{id}/cancel")

    async def pause(self, id: str) -> Job:
        """Have a job wait."""
        return await self._job("POST", f"/v1/jobs/{id}/pause")

    async def resume(self, id: str) -> Job:
        """Have a paused job go on."""
        return await self._job("POST", f"/v1/jobs/{id}/resume")

    async def retry(self, id: str) -> Job:
        """Queue a job again that gave nothing."""
        return await self._job("POST", f"/v1/jobs/{id}/retry")

    async def remove(self, id: str) -> None:
        """Forget a job."""
        await self._ask("DELETE", f"/v1/jobs/{id}")

    async def upload(self, path: Path | str) -> str:
        """Send a file; returns the name by which documents and inputs call it."""
        try:
            data = await asyncio.to_thread(Path(path).read_bytes)
        except OSError as error:
            text = f"cannot be read: {error.strerror or error}"
            raise InvalidInputError(text, where=str(path), advice="name another file") from error
        digest = hashlib.sha256(data).hexdigest()
        return str((await self._json("PUT", f"/v1/uploads/{digest}", content=data))["name"])

    async def events(self, id: str) -> AsyncIterator[Event]:
        """Yield a job's events until it is over; where the connection breaks, it goes on from there."""
        last, tries = 0, 0
        while True:
            try:
                options: Any = {"params": {"after": last}, "timeout": httpx2.Timeout(30.0, read=60.0)}
                async with self._http.stream("GET", f"/v1/jobs/{id}/events", **options) as answer:
                    if answer.is_error:
                        await answer.aread()
                        raise _error(answer)
                    async for line in answer.aiter_lines():
                        name, _, value = line.partition(": ")
                        if name == "id":
                            last, tries = int(value), 0
                        elif name == "data":
                            told = json.loads(value)
                            if told["event"] != "state":
                                yield _event(told)
                            elif told["state"] in FINAL or (told["state"] == "interrupted" and told["paused"]):
                                return
                tries += 1
            except httpx2.TransportError as error:
                tries += 1
                if tries > _TRIES:
                    raise self._silent(error) from error
            if tries > _TRIES:
                raise self._silent(EOFError())
            await asyncio.sleep(min(2.0, 0.05 * 2**tries))

    async def result(self, id: str, *, out: Path | str = "out", sink: Sink = ignore) -> Result:
        """Wait for a job and return what it gave, with its files."""
        async for event in self.events(id):
            sink(event)
        told = await self._json("GET", f"/v1/jobs/{id}")
        if told["state"] != "done":
            raise _failure(told)
        files: dict[str, list[WrittenFile]] = {}
        for file in told["files"]:
            data = (await self._ask("GET", file["url"], timeout=None)).content
            try:
                written = await asyncio.to_thread(_write, Path(out), file["name"], data)
            except OSError as error:
                text = f"cannot write there: {error.strerror or error}"
                raise InvalidInputError(text, where=str(out), advice="name another folder as out") from error
            files.setdefault(file["node"], []).append(written)
        given = told["result"]
        return Result(
            outputs=given["outputs"],
            values={},
            files=files,
            seconds=given["seconds"],
            cached=given["cached"],
            withheld=given["withheld"],
            plan=cast("Plan", _Elsewhere()),
            run_id=given["run_id"],
            nodes=given["nodes"],
            seeds=given["seeds"],
            notices=tuple(given["notices"]),
        )

    async def run(
        self,
        workflow: Openable,
        inputs: Mapping[str, Any] | None = None,
        *,
        out: Path | str = "out",
        sink: Sink = ignore,
        **asked: Unpack[Asked],
    ) -> Result:
        """Queue a job, wait for it, and return what it gave; cancelling the task cancels the job."""
        require_folder(Path(out))
        job = await self.submit(workflow, inputs, **asked)
        try:
            return await self.result(job.id, out=out, sink=sink)
        except BaseException:
            with suppress(GraphflowError):  # it is over, or nobody answers
                await asyncio.shield(self.cancel(job.id))
            raise


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
            **asked: See :class:`Asked`.
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
            **asked: See :class:`Asked`.

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
            **asked: See :class:`Asked`.

        Returns:
            The result; its outputs are JSON, what is none is described, and its plan stays with the service.
        """
        return self._wait(self._inner.run(workflow, inputs, out=out, sink=sink, **asked))


async def _next(following: AsyncIterator[T]) -> T:
    return await anext(following)


async def _end(following: Any) -> None:
    await following.aclose()


class _Elsewhere:
    """Stands for the plan of a result that was fetched."""

    def __getattr__(self, name: str) -> Any:
        raise GraphflowError("the plan stays with the service", where="Result.plan", advice="Client.plan tells it")


def _asked(workflow: Openable, inputs: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"workflow": opened(workflow).document.to_json(), "inputs": dict(inputs or {}), **asked}


def _job(told: Mapping[str, Any]) -> Job:
    known: dict[str, Any] = {field.name: told.get(field.name) for field in fields(Job)}
    return Job(**{**known, "extra": {}})


def _event(told: Mapping[str, Any]) -> Event:
    kind = _EVENTS[told["event"]]
    known = {field.name for field in fields(kind)}
    make: Callable[..., Event] = kind
    return make(**{name: value for name, value in told.items() if name in known})


def _error(answer: httpx2.Response) -> GraphflowError:
    """Return the error that an answer tells."""
    try:
        told = answer.json()
        message = str(told["message"])
    except (ValueError, KeyError, TypeError):
        return GraphflowError(f"the service answers {answer.status_code}", where=str(answer.url))
    if told.get("problems"):
        return WorkflowError([Problem(**problem) for problem in told["problems"]], source=told.get("where"))
    return kind_of(answer.status_code)(message, where=told.get("where"), advice=told.get("advice"))


def _failure(told: Mapping[str, Any]) -> GraphflowError:
    """Return the error with which a job ended."""
    cause = told["error"] or {}
    if told["state"] == "cancelled":
        return CancelledError()
    if cause.get("problems"):
        return WorkflowError([Problem(**problem) for problem in cause["problems"]], source=cause.get("where"))
    kind = InvalidInputError if cause.get("exit_code") == InvalidInputError.exit_code else GraphflowError
    message = str(cause.get("message") or "the service ended again and again while the job ran")
    if "node" in cause:
        return NodeError(cause["node"], cause["node_type"], kind(message, advice=cause.get("advice")))
    return kind(message, where=cause.get("where"), advice=cause.get("advice"))


def _write(out: Path, name: str, data: bytes) -> WrittenFile:
    """Write a file under its own name where it is free, else under another one."""
    path = PurePosixPath(name)
    parts = safe_parts(str(path.with_suffix("")))
    wanted = out.joinpath(*parts[:-1], parts[-1] + path.suffix)
    if wanted.parent.resolve().is_relative_to(out.resolve()) and write_new(wanted, data):
        return WrittenFile(wanted, "written")
    stem = _COUNTER.sub("", "/".join(parts))
    return place(out, stem, path.suffix, data, hashlib.sha256(data).hexdigest(), fresh="written")
