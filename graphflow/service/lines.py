"""The service over a pipe, for a program that starts it: one JSON object a line, both ways.

A line that is read has ``do``, and an ``id`` of the asker's choice, which its answer carries. Between answers come the events of
the jobs that are followed. ``docs/embedding.md`` lists all of it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from graphflow.basics.jsontools import loads
from graphflow.errors import InvalidInputError, WorkflowError
from graphflow.jobs.telling import error_json, finite
from graphflow.service.app import Service, problems_of
from graphflow.service.views import JobAsked, job_view

_PIECE = 2**20


class Line(BaseModel):
    """A line that is read.

    Attributes:
        do: What is asked.
        id: What the answer carries.
        job: Which job.
        asked: What a job is to do.
        key: Idempotency key of a submission.
        path: A file of this machine.
        after: The number of the last event that is known.
        follow: Whether the events of a submitted job are wanted.
    """

    model_config = ConfigDict(extra="forbid")

    do: str
    id: JsonValue = None
    job: str = ""
    asked: JobAsked | None = None
    key: str | None = None
    path: str = ""
    after: int = 0
    follow: bool = True


class Lines:
    """Answers lines.

    Args:
        service: What answers.
        write: Takes one line at a time.
    """

    def __init__(self, service: Service, write: Callable[[str], None]) -> None:
        self._service = service
        self._write = write
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        jobs = service.jobs
        self._verbs: Mapping[str, Callable[[Line], Any]] = {
            "submit": lambda line: self._shown(service.submit(_given(line), key=line.key)[0].id),
            "job": lambda line: self._shown(line.job),
            "jobs": lambda line: [job.to_json() for job in jobs.jobs()],
            "cancel": lambda line: self._shown(jobs.cancel(line.job).id),
            "pause": lambda line: self._shown(jobs.pause(line.job).id),
            "resume": lambda line: self._shown(jobs.resume(line.job).id),
            "retry": lambda line: self._shown(jobs.retry(line.job).id),
            "remove": lambda line: jobs.remove(line.job),
            "follow": lambda line: self._shown(line.job),
            "upload": self._upload,
            "stop": lambda line: None,
        }

    def serve(self, lines: Iterable[bytes]) -> None:
        """Answer lines until there are none, or one says stop."""
        following = threading.Thread(target=self._loop.run_forever, daemon=True)
        following.start()
        try:
            for text in lines:
                if text.strip() and self._answer(text) == "stop":
                    return
        finally:
            asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            following.join()
            self._loop.close()

    def _answer(self, text: bytes) -> str:
        """Answer one line; returns what it asked."""
        line = None
        try:
            line = _read(text)
            if line.do not in self._verbs:
                advice = "there are " + ", ".join(self._verbs)
                raise InvalidInputError(f"there is no {line.do!r}", where="do", advice=advice)
            answer = self._verbs[line.do](line)
        except Exception as error:  # whatever it is, the asker waits for it
            told = {name: value for name, value in error_json(error).items() if name != "event"}
            self._say({"id": line and line.id, "error": told})
            return ""
        self._say({"id": line.id, "answer": answer})
        if line.do == "follow" or (line.do == "submit" and line.follow):
            asyncio.run_coroutine_threadsafe(self._follow(answer["id"], line.after), self._loop)
        return line.do

    async def _follow(self, id: str, after: int) -> None:
        async for told in self._service.jobs.feed(id).follow(after):
            if told is not None:
                self._say({"job": id, "number": told[0], **told[1]})

    def _shown(self, id: str) -> dict[str, Any]:
        """Return a job with the places of its files on this machine."""
        jobs = self._service.jobs
        view = asdict(job_view(jobs, jobs.job(id)))
        for file in view["files"]:
            del file["url"]
            file["path"] = str(jobs.file(id, file["name"]))
        return view

    def _upload(self, line: Line) -> dict[str, Any]:
        try:
            taken = asyncio.run_coroutine_threadsafe(self._service.uploads.take(_pieces(Path(line.path))), self._loop)
            return dict(vars(taken.result()))
        except OSError as error:
            text = f"cannot be read: {error.strerror or error}"
            raise InvalidInputError(text, where=line.path, advice="name another file") from error

    def _say(self, what: Mapping[str, Any]) -> None:
        text = json.dumps(finite(what), ensure_ascii=False, separators=(",", ":"), default=repr)
        with self._lock:
            self._write(text + "\n")


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _read(text: bytes) -> Line:
    try:
        return Line.model_validate(loads(text, source="the line"))
    except ValidationError as error:
        raise WorkflowError(problems_of(error.errors()), source="the line") from error


def _given(line: Line) -> JobAsked:
    if line.asked is None:
        raise InvalidInputError("it is not said what", where="asked", advice='write "asked": {"workflow": …}')
    return line.asked


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece
