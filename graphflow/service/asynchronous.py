"""The client of a service for programs with an event loop."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack, cast

import httpx2

from graphflow.document.opening import Openable, opened
from graphflow.errors import GraphflowError, InvalidInputError, Problem
from graphflow.events import Event, Sink, ignore
from graphflow.execution.output import WrittenFile, require_folder
from graphflow.execution.result import Result
from graphflow.jobs.job import FINAL, Job, State
from graphflow.service.answers import error_of, event_of, failure_of, job_of, result_of, write_file
from graphflow.service.options import DEFAULT_PORT, TOKEN_VARIABLE

ADDRESS = f"http://127.0.0.1:{DEFAULT_PORT}"
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
    """A client of a service, for programs with an event loop; :class:`graphflow.service.client.Client` explains the methods.

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

    async def __aexit__(self, *_: object) -> None:
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
            raise error_of(answer)
        return answer

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        return (await self._ask(method, path, **options)).json()

    async def _job(self, method: str, path: str, **options: Any) -> Job:
        return job_of(await self._json(method, path, **options))

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
        return [job_of(row) for row in told["jobs"]]

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
                        raise error_of(answer)
                    async for line in answer.aiter_lines():
                        name, _, value = line.partition(": ")
                        if name == "id":
                            last, tries = int(value), 0
                        elif name == "data":
                            told = json.loads(value)
                            if told["event"] != "state":
                                yield event_of(told)
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
            raise failure_of(told)
        files: dict[str, list[WrittenFile]] = {}
        for file in told["files"]:
            data = (await self._ask("GET", file["url"], timeout=None)).content
            try:
                written = await asyncio.to_thread(write_file, Path(out), file["name"], data)
            except OSError as error:
                text = f"cannot write there: {error.strerror or error}"
                raise InvalidInputError(text, where=str(out), advice="name another folder as out") from error
            files.setdefault(file["node"], []).append(written)
        return result_of(told["result"], files)

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
        submitting = asyncio.create_task(self.submit(workflow, inputs, **asked))

        async def withdraw() -> None:
            await self.cancel((await submitting).id)

        try:
            job = await asyncio.shield(submitting)  # the service may have it before it is known here
            return await self.result(job.id, out=out, sink=sink)
        except BaseException:
            with suppress(GraphflowError):  # it was refused, it is over, or nobody answers
                await asyncio.shield(withdraw())
            raise


def _asked(workflow: Openable, inputs: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"workflow": opened(workflow).document.to_json(), "inputs": dict(inputs or {}), **asked}
