"""Prompts, the queue and the history."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from graphflow.errors import GraphflowError
from graphflow.service.comfyui.checking import RefusedPromptError, told
from graphflow.service.comfyui.desk import EVERY, ORIGIN, Desk
from graphflow.service.comfyui.history import entry, queue_item
from graphflow.service.comfyui.prompts import Asked, Prompts
from graphflow.service.statuses import status_of


def queue_routes(router: APIRouter, desk: Desk) -> None:
    """Add ``/prompt``, ``/queue``, ``/interrupt`` and ``/history``."""
    jobs = desk.jobs
    prompts = Prompts(desk)

    @router.get("/prompt")
    def state() -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": desk.remaining()}}

    @router.post("/prompt")
    async def prompt(request: Request) -> Response:
        try:
            job, errors = await prompts.submit(Asked.read(await request.json()))
        except RefusedPromptError as error:
            return JSONResponse(desk.service.told(error.body), 400)
        except GraphflowError as error:
            text = "; ".join(part for part in (error.message, error.advice) if part)
            status = status_of(error)
            body = {"error": told("invalid_prompt", text, error.where or ""), "node_errors": {}}
            return JSONResponse(desk.service.told(body), 400 if status in (409, 422) else status)
        return JSONResponse({"prompt_id": job.id, "number": job.extra["number"], "node_errors": errors})

    @router.get("/queue")
    def queue() -> dict[str, Any]:
        running = jobs.jobs(("running",), origin=ORIGIN, limit=EVERY)
        waiting = [job for job in jobs.waiting() if job.origin == ORIGIN]
        return {
            "queue_running": [queue_item(job) for job in running],
            "queue_pending": [queue_item(job) for job in waiting],
        }

    @router.post("/queue")
    async def change_queue(request: Request) -> Response:
        asked = await _object(request)

        def change() -> None:
            waiting = [job.id for job in jobs.waiting() if job.origin == ORIGIN]
            wanted = waiting if asked.get("clear") else [id for id in waiting if id in _ids(asked)]
            desk.names.hide(wanted)  # what never ran has no history
            for id in wanted:
                desk.cancel(id)

        await run_in_threadpool(change)
        return Response()

    @router.post("/interrupt")
    async def interrupt(request: Request) -> Response:
        wanted = (await _object(request)).get("prompt_id")

        def change() -> None:
            for job in jobs.jobs(("running",), origin=ORIGIN, limit=EVERY):
                if wanted is None or job.id == wanted:
                    desk.cancel(job.id)

        await run_in_threadpool(change)
        return Response()

    @router.get("/history")
    def history(max_items: int = -1, offset: int = -1) -> dict[str, Any]:
        finished = desk.finished()
        ids = sorted(finished, key=lambda id: finished[id] or 0.0)
        start = offset if offset >= 0 else max(0, len(ids) - max_items) if max_items >= 0 else 0
        over = desk.load(ids[start : start + max_items if max_items >= 0 else None])
        return {job.id: entry(desk, job) for job in over}

    @router.get("/history/{id}")
    def one(id: str) -> dict[str, Any]:
        job = desk.job(id)
        if job is None or not job.final or id in desk.names.hidden():
            return {}
        return {id: entry(desk, job)}

    @router.post("/history")
    async def change_history(request: Request) -> Response:
        asked = await _object(request)

        def change() -> None:
            wanted = None if asked.get("clear") else _ids(asked)
            desk.names.hide([id for id in desk.finished() if wanted is None or id in wanted])

        await run_in_threadpool(change)
        return Response()


async def _object(request: Request) -> dict[str, Any]:
    """Return the object that a request has; none where it has no body."""
    asked = await request.json() if await request.body() else {}
    return asked if isinstance(asked, dict) else {}


def _ids(asked: dict[str, Any]) -> set[str]:
    listed = asked.get("delete")
    return {id for id in listed if isinstance(id, str)} if isinstance(listed, list) else set()
