"""``/api/jobs``: what waits, runs and is over, in one list.

Source: https://docs.comfy.org/api-reference/cloud/job/list-jobs-with-pagination-and-filtering
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from graphflow.jobs.job import Job, State
from graphflow.service.comfyui.desk import Desk, Prompted
from graphflow.service.comfyui.history import entry, messages, outputs_of

STATUS: Mapping[State, str] = {
    "queued": "pending", "interrupted": "pending", "running": "in_progress", "done": "completed", "failed": "failed",
    "cancelled": "cancelled",
}  # fmt: skip
_MOST = 1_000


def job_routes(router: APIRouter, desk: Desk) -> None:
    """Add the routes."""

    @router.get("/jobs")
    def jobs(
        status: str = "",
        workflow_id: str = "",
        sort_by: Literal["create_time", "execution_duration"] = "create_time",
        sort_order: Literal["asc", "desc"] = "desc",
        limit: int = _MOST,
        offset: int = 0,
    ) -> Response:
        wanted = {name for name in status.split(",") if name}
        if unknown := wanted - set(STATUS.values()):
            text = f"status can be {', '.join(dict.fromkeys(STATUS.values()))}"
            return JSONResponse({"error": f"{text}, not {', '.join(sorted(unknown))}"}, 400)
        if offset < 0 or not 0 < limit <= _MOST:
            return JSONResponse({"error": f"limit is from 1 to {_MOST}, and offset not negative"}, 400)
        states = [state for state, name in STATUS.items() if not wanted or name in wanted]
        ids = list(desk.finished(states))
        if sort_order == "asc":
            ids.reverse()
        if workflow_id or sort_by != "create_time":  # which takes a look at each
            found = [job for job in desk.load(ids) if workflow_id in ("", _workflow_id(Prompted.of(job)))]
            if sort_by != "create_time":
                found.sort(key=_seconds, reverse=sort_order == "desc")
            ids = [job.id for job in found]
        page = desk.load(ids[offset : offset + limit])
        pagination = {"offset": offset, "limit": limit, "total": len(ids), "has_more": offset + limit < len(ids)}
        return JSONResponse({"jobs": [summary(desk, job) for job in page], "pagination": pagination})

    @router.get("/jobs/{id}")
    def job(id: str) -> Response:
        found = desk.job(id)
        if found is None or id in desk.names.hidden():
            return JSONResponse({"error": "Job not found"}, 404)
        told = Prompted.of(found)
        past = entry(desk, found)
        more = {
            "update_time": _milliseconds(found.finished or found.started or found.created),
            "workflow": {"prompt": told.prompt, "extra_data": told.extra_data},
            "outputs": past["outputs"],
            "execution_status": past["status"] if found.final else None,
            "execution_meta": past["meta"],
        }
        return JSONResponse({**summary(desk, found), **more})


def summary(desk: Desk, job: Job) -> dict[str, Any]:
    """Return a job as the list has it; times are milliseconds since 1970."""
    outputs = outputs_of(desk, job)
    shown = [
        {**value, "nodeId": node, "mediaType": kind}
        for node, kinds in outputs.items()
        for kind, values in kinds.items()
        for value in values
        if isinstance(value, dict)
    ]
    shown.sort(key=lambda value: value["type"] != "output")
    failure = next((data for name, data in messages(desk, job) if name == "execution_error"), None)
    told: dict[str, Any] = {
        "id": job.id,
        "status": STATUS[job.state],
        "priority": Prompted.of(job).number,
        "create_time": _milliseconds(job.created),
        "execution_start_time": _milliseconds(job.started),
        "execution_end_time": _milliseconds(job.finished),
        "execution_error": failure,
        "outputs_count": len(shown),
        "preview_output": shown[0] if shown else None,
        "workflow_id": _workflow_id(Prompted.of(job)),
    }
    return {name: value for name, value in told.items() if value is not None}


def _seconds(job: Job) -> float:
    return (job.finished or 0.0) - (job.started or 0.0)


def _workflow_id(told: Prompted) -> str | None:
    drawn = told.extra_data.get("extra_pnginfo")
    workflow = drawn.get("workflow") if isinstance(drawn, dict) else None
    found = workflow.get("id") if isinstance(workflow, dict) else None
    return found if isinstance(found, str) else None


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)
