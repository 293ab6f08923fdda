"""What answers of a service mean: the same jobs, events, results and errors as a session has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

import httpx2

from graphflow import events as kinds
from graphflow.basics.atomic import write_new
from graphflow.errors import CancelledError, GraphflowError, InvalidInputError, NodeError, Problem, WorkflowError
from graphflow.events import Event
from graphflow.execution.output import WrittenFile, place, safe_parts
from graphflow.execution.result import Result
from graphflow.jobs.job import Job
from graphflow.service.statuses import kind_of

if TYPE_CHECKING:
    from graphflow.planning.steps import Plan

_EVENTS: Mapping[str, type[Event]] = {
    kind.event: kind for kind in vars(kinds).values() if isinstance(kind, type) and issubclass(kind, Event)
}
_COUNTER = re.compile(r"_\d{5,}\Z")


def job_of(told: Mapping[str, Any]) -> Job:
    """Return the job that an answer tells."""
    known: dict[str, Any] = {field.name: told.get(field.name) for field in fields(Job)}
    return Job(**{**known, "extra": {}})


def event_of(told: Mapping[str, Any]) -> Event:
    """Return the event that a line of a stream tells."""
    kind = _EVENTS[told["event"]]
    known = {field.name for field in fields(kind)}
    make: Callable[..., Event] = kind
    return make(**{name: value for name, value in told.items() if name in known})


def error_of(answer: httpx2.Response) -> GraphflowError:
    """Return the error that an answer tells."""
    try:
        told = answer.json()
        message = str(told["message"])
    except (ValueError, KeyError, TypeError):
        return GraphflowError(f"the service answers {answer.status_code}", where=str(answer.url))
    if told.get("problems"):
        return WorkflowError([Problem(**problem) for problem in told["problems"]], source=told.get("where"))
    return kind_of(answer.status_code)(message, where=told.get("where"), advice=told.get("advice"))


def failure_of(told: Mapping[str, Any]) -> GraphflowError:
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


def result_of(given: Mapping[str, Any], files: Mapping[str, list[WrittenFile]]) -> Result:
    """Return what a job gave, with its files where they were written."""
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


class _Elsewhere:
    """Stands for the plan of a result that was fetched."""

    def __getattr__(self, name: str) -> Any:
        raise GraphflowError("the plan stays with the service", where="Result.plan", advice="Client.plan tells it")


def write_file(out: Path, name: str, data: bytes) -> WrittenFile:
    """Write a file under its own name where it is free, else under another one."""
    path = PurePosixPath(name)
    parts = safe_parts(str(path.with_suffix("")))
    wanted = out.joinpath(*parts[:-1], parts[-1] + path.suffix)
    if wanted.parent.resolve().is_relative_to(out.resolve()) and write_new(wanted, data):
        return WrittenFile(wanted, "written")
    stem = _COUNTER.sub("", "/".join(parts))
    return place(out, stem, path.suffix, data, hashlib.sha256(data).hexdigest(), fresh="written")
