"""The native interface, under ``/v1``."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, fields
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from graphflow.errors import WorkflowError
from graphflow.jobs.job import Attempt, Job, State
from graphflow.jobs.ordering import expanded
from graphflow.jobs.performing import shown_targets
from graphflow.jobs.previews import jpeg
from graphflow.jobs.telling import problem_json
from graphflow.service import catalogue
from graphflow.service.app import BoundedRoute, Service, file_response
from graphflow.service.uploads import Upload
from graphflow.service.views import (
    FileView,
    Health,
    JobAsked,
    JobChange,
    JobId,
    JobPage,
    JobSummary,
    JobView,
    Validated,
    WorkflowAsked,
    job_view,
)

_BEAT = 15.0
"""Seconds after which a quiet stream of events says that it is alive."""
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `id` is the event's number, `data` one JSON object.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file's bytes.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_BYTES = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {}}}}}
_JOB_VIEW = TypeAdapter(JobView)
_Id = Annotated[JobId, PathParameter(description="a job's id")]
_Digest = Annotated[
    str, PathParameter(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the bytes, in lower-case hex")
]
_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=200, pattern=r"^[!-~]+$",
        description="sent again with the same request, it gives the job that is there",
    ),
]  # fmt: skip


def native_router(service: Service) -> APIRouter:
    """Return the native interface of a service."""
    router = APIRouter(prefix="/v1", route_class=BoundedRoute)
    for part in (_about, _jobs, _events, _uploads):
        part(router, service)
    return router


def _about(router: APIRouter, service: Service) -> None:
    session = service.session

    @router.get("/health")
    def health() -> Health:
        """Tell whether the service works; needs no token."""
        from graphflow import __version__

        return Health(status="ok", version=__version__ or "0", jobs=service.jobs.counts())

    @router.post("/validate")
    def validate(asked: WorkflowAsked) -> Validated:
        """Tell every problem of a workflow, but for files that are missing."""
        try:
            checked = session.validate(service.opened(asked.workflow), asked.inputs, asked.overrides)
            problems, notices = checked.problems, checked.notices
        except WorkflowError as error:
            problems, notices = list(error.problems), []
        told = [problem_json(problem) for problem in problems]
        return Validated.model_validate(service.told({"valid": not told, "problems": told, "notices": notices}))

    @router.post("/plan")
    def plan(asked: WorkflowAsked) -> dict[str, Any]:
        """Tell what a workflow would run and why, and which files it needs."""
        order = service.order(asked)
        given = expanded(session, order)
        made = session.plan(
            given,
            targets=order.targets or shown_targets(session, given),
            safety=order.safety,
            input_folder=service.uploads.folder,
        )
        return _public_plan(service.told(catalogue.plan_json(made)), made.expanded.document.to_json())

    @router.get("/nodes")
    def nodes() -> list[dict[str, Any]]:
        """List the node types."""
        known = session.registry.specs
        return [catalogue.node_json(known[name]) for name in sorted(known)]

    @router.get("/nodes/{type}")
    def node(type: str) -> dict[str, Any]:
        """Explain one node type."""
        spec = session.registry.get(type)
        if spec is None:
            raise HTTPException(404, "there is no such node type")
        return catalogue.node_json(spec)

    @router.get("/workflows")
    def workflows() -> list[dict[str, Any]]:
        """List the packaged workflows with their inputs and models."""
        from graphflow.workflows import names

        return [_public(catalogue.workflow_json(session, name)) for name in names()]

    @router.get("/workflows/{name}")
    def workflow(name: str) -> dict[str, Any]:
        """Explain one packaged workflow, with its document."""
        from graphflow.document.document import read
        from graphflow.workflows import names, path

        if name not in names():
            raise HTTPException(404, "there is no packaged workflow of this name")
        row = _public(catalogue.workflow_json(session, name))
        return {**row, "document": read(path(name)).to_json()}

    @router.get("/models")
    def models() -> list[dict[str, Any]]:
        """List the models that documents may name."""
        from graphflow.library.listing import list_models

        return [{name: value for name, value in row.items() if name != "path"} for row in list_models(session.library)]


def _jobs(router: APIRouter, service: Service) -> None:
    jobs = service.jobs

    def shown(job: Job) -> JobView:
        return _JOB_VIEW.validate_python(service.told(asdict(job_view(jobs, job))))

    @router.post("/jobs", status_code=201, responses={200: {"model": JobView, "description": "It was there."}})
    def submit(asked: JobAsked, response: Response, key: _Key = None) -> JobView:
        """Queue a job."""
        job, new = service.submit(asked, key=key)
        response.status_code = 201 if new else 200
        response.headers["location"] = f"/v1/jobs/{job.id}"
        return shown(job)

    @router.post("/run")
    async def run(asked: JobAsked, request: Request, key: _Key = None) -> JobView:
        """Queue a job and wait until it is over; it is cancelled where the client leaves."""
        job, new = await run_in_threadpool(service.submit, asked, key=key)
        await service.wait([job], request, cancel=new)
        return await run_in_threadpool(lambda: shown(jobs.job(job.id)))

    @router.get("/jobs")
    def listed(
        state: Annotated[list[State] | None, Query(description="only jobs in one of these states")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[JobId | None, Query(description="only jobs older than this one")] = None,
    ) -> JobPage:
        """List jobs, the newest first."""
        found = jobs.jobs(state or (), limit=limit, before=before)
        rows = [
            JobSummary(**service.told({field.name: getattr(job, field.name) for field in fields(JobSummary)}))
            for job in found
        ]
        return JobPage(jobs=rows, next=rows[-1].id if len(rows) == limit else None)

    @router.get("/jobs/{id}")
    def job(id: _Id) -> JobView:
        """Tell where a job stands, and what it gave."""
        return shown(jobs.job(id))

    @router.patch("/jobs/{id}")
    def change(id: _Id, asked: JobChange) -> JobView:
        """Change a job's priority."""
        return shown(jobs.prioritise(id, asked.priority))

    @router.delete("/jobs/{id}", status_code=204)
    def remove(id: _Id) -> None:
        """Forget a job that does not run, with its files."""
        jobs.remove(id)

    @router.post("/jobs/{id}/cancel")
    def cancel(id: _Id) -> JobView:
        """End a job; one that runs stops at its next step."""
        return shown(jobs.cancel(id))

    @router.post("/jobs/{id}/pause")
    def pause(id: _Id) -> JobView:
        """Have a job wait until it is resumed; one that runs stops at its next step."""
        return shown(jobs.pause(id))

    @router.post("/jobs/{id}/resume")
    def resume(id: _Id) -> JobView:
        """Have a paused job go on."""
        return shown(jobs.resume(id))

    @router.post("/jobs/{id}/retry")
    def retry(id: _Id) -> JobView:
        """Queue a job again that failed, was cancelled or was given up; it goes on from its stored values."""
        return shown(jobs.retry(id))

    @router.get("/jobs/{id}/attempts")
    def attempts(id: _Id) -> list[Attempt]:
        """Tell each time that a job was carried out, and why it gave nothing."""
        return [Attempt(**service.told(attempt.to_json())) for attempt in jobs.attempts(id)]

    @router.get("/jobs/{id}/workflow")
    def document(id: _Id) -> dict[str, Any]:
        """Return a job's workflow, with all values set."""
        return dict(jobs.order(id).document)

    @router.get("/jobs/{id}/files")
    def files(id: _Id) -> list[FileView]:
        """List the files of a job's result."""
        return shown(jobs.job(id)).files

    @router.get("/jobs/{id}/files/{name:path}", response_class=FileResponse, responses=_FILE)
    def file(id: _Id, name: Annotated[str, PathParameter(description="a file's name")]) -> FileResponse:
        """Return a file of a job's result."""
        return file_response(jobs.file(id, name))


def _events(router: APIRouter, service: Service) -> None:
    jobs = service.jobs

    @router.get("/jobs/{id}/events", response_class=StreamingResponse, responses=_EVENTS)
    async def events(
        id: _Id,
        after: Annotated[int, Query(ge=0, description="number of the last event that is known")] = 0,
        last: Annotated[str | None, Header(alias="Last-Event-ID", pattern=r"^[0-9]{1,18}$")] = None,
    ) -> StreamingResponse:
        """Follow a job until it is over."""
        feed = await run_in_threadpool(jobs.feed, id)

        async def lines() -> AsyncIterator[bytes]:
            async for told in feed.follow(max(after, int(last or 0)), beat=_BEAT):
                if told is None:
                    yield b":\n\n"
                else:
                    yield f"id: {told[0]}\ndata: {_line(service.told(told[1]))}\n\n".encode()

        return StreamingResponse(lines(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    @router.websocket("/jobs/{id}/socket")
    async def socket(websocket: WebSocket, id: _Id, after: Annotated[int, Query(ge=0)] = 0) -> None:
        """Follow a job: each text is an event with its ``number``, each binary message a JPEG of what is sampled."""
        feed = await run_in_threadpool(jobs.feed, id)
        await websocket.accept()
        seen = None
        try:
            async for told in feed.follow(after, beat=_BEAT):
                if told is None:
                    continue
                await websocket.send_text(_line(service.told({"number": told[0], **told[1]})))
                if feed.preview is not None and feed.preview is not seen:
                    seen = feed.preview
                    await websocket.send_bytes(await run_in_threadpool(jpeg, seen))
            await websocket.close()
        except WebSocketDisconnect:
            pass


def _uploads(router: APIRouter, service: Service) -> None:
    @router.post("/uploads", status_code=201, openapi_extra=_BYTES)
    async def upload(request: Request) -> Upload:
        """Send a picture, video, sound or latent for workflows to read."""
        return await service.uploads.take(request.stream())

    @router.put("/uploads/{digest}", openapi_extra=_BYTES)
    async def upload_as(digest: _Digest, request: Request) -> Upload:
        """Send the same, and have its digest checked."""
        return service.uploads.find(digest) or await service.uploads.take(request.stream(), digest)

    @router.get("/uploads/{digest}")
    def uploaded(digest: _Digest) -> Upload:
        """Tell whether a file was sent already."""
        found = service.uploads.find(digest)
        if found is None:
            raise HTTPException(404, "there is no such upload")
        return found


def _line(what: Any) -> str:
    return json.dumps(what, ensure_ascii=False, separators=(",", ":"), default=repr)


def _public_plan(plan: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Leave out where model files stand on this machine; the document goes back as it came."""
    for step in plan["steps"]:
        step["files"] = [{name: value for name, value in file.items() if name != "path"} for file in step["files"]]
    return {**plan, "workflow": document}


def _public(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out where things stand on this machine."""
    models = [{name: value for name, value in model.items() if name != "path"} for model in row["models"]]
    return {**{name: value for name, value in row.items() if name not in ("path", "picture")}, "models": models}
