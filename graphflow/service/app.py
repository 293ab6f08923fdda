"""The HTTP interface, on top of :class:`graphflow.jobs.queue.Jobs`.

:func:`make_app` puts the parts together. Another interface is one more function that takes a :class:`Service` and returns
a router; ``make_app(service, [router, …])`` mounts it behind the same guard, which looks at Host, Origin and token, bounds
requests, and gives every answer headers with which nothing in it runs. Such a router

- submits with ``service.submit(...)`` (``origin`` and ``extra`` keep what is its own with the job, ``id`` may be the client's),
- reads ``service.jobs``: ``job``, ``jobs(origin=…)``, ``waiting``, ``counts``, ``files``, ``file``, ``cancel``, ``remove``,
- learns what happens from ``service.jobs.listen(listener)`` (the run's own events, with previews, from worker threads) or
  from ``service.jobs.feed(id).follow()`` (JSON, in an event loop),
- has what it opens closed by ``service.closing``,
- keeps files that clients send in ``service.uploads``, and sends files back with :func:`file_response`,
- raises the errors of :mod:`graphflow.errors`; :data:`graphflow.service.statuses.STATUS` says what becomes of them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.cors import CORSMiddleware

from graphflow.basics.jsontools import loads
from graphflow.errors import GraphflowError, LimitError, Problem, WorkflowError
from graphflow.jobs.job import Job, JobConflictError, Order
from graphflow.jobs.ordering import make_order
from graphflow.jobs.queue import Bounds, Jobs
from graphflow.jobs.telling import error_json, problem_json
from graphflow.service.describing import describe
from graphflow.service.guard import Guard
from graphflow.service.options import ServiceOptions
from graphflow.service.places import Places
from graphflow.service.statuses import status_of
from graphflow.service.uploads import Uploads
from graphflow.service.views import WorkflowAsked

if TYPE_CHECKING:
    from graphflow.document.opening import Openable
    from graphflow.session import Session

SHOWN = {
    ".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif",
    ".mp4": "video/mp4", ".webm": "video/webm", ".wav": "audio/wav", ".flac": "audio/flac",
}  # fmt: skip
"""Content types of files that a browser may show; it saves all others."""

_LOOK = 0.5
"""Seconds after which it is looked whether a client that waits is still there."""
_log = logging.getLogger("graphflow.service")


class Service:
    """What answers requests: the jobs of a folder, and the files that clients sent.

    Args:
        session: Where jobs are carried out.
        folder: Where all of it is kept; made if it is missing.
        options: What is allowed.
        workers: How many jobs are carried out at the same time.
        bounds: How much it takes and keeps.

    Raises:
        StoreError: The folder cannot be used, or another process has it.
    """

    def __init__(
        self,
        session: Session,
        folder: Path,
        options: ServiceOptions = ServiceOptions(),  # noqa: B008  # it is frozen
        *,
        workers: int = 1,
        bounds: Bounds = Bounds(),  # noqa: B008  # it is frozen
    ) -> None:
        self.session = session
        self.options = options
        self.closing = ExitStack()
        uploads = folder / "uploads"
        self.jobs = Jobs(session, folder, input_folder=uploads, workers=workers, bounds=bounds)
        self.uploads = Uploads(uploads, most=options.uploads_bytes, pixels=options.pixels)
        self.uploads.prune(bounds.seconds)
        library = session.library
        roots = (root.path for root in library.roots)
        kept = (folder, session.settings.cache_dir, library.hub_cache, Path(__file__).parents[1], Path.cwd())
        self.told = Places((*roots, *kept)).hide

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what runs, as interrupted."""
        self.jobs.close()
        self.closing.close()

    def opened(self, workflow: str | Mapping[str, Any]) -> Openable:
        """Return a workflow that a stranger names; a text is a packaged workflow's name and never a path.

        Raises:
            InvalidInputError: There is none of this name.
        """
        if not isinstance(workflow, str):
            return workflow
        from graphflow.document.document import read
        from graphflow.workflows import path

        return read(path(workflow))

    def order(self, asked: WorkflowAsked) -> Order:
        """Check what was asked for; files that it names resolve among the uploads and in the model folders only.

        Raises:
            InvalidInputError: It cannot be opened.
            WorkflowError: With every problem of the document.
        """
        given = asked.model_dump(exclude={"workflow", "priority", "paused"})
        return make_order(self.session, self.opened(asked.workflow), pixels=self.options.pixels, **given)

    def submit(self, asked: WorkflowAsked, **options: Any) -> tuple[Job, bool]:
        """Queue a job for what was asked; returns it, and whether it is new.

        Args:
            asked: What was asked.
            **options: As in :meth:`graphflow.jobs.queue.Jobs.submit`.
        """
        given = asked.model_dump()
        return self.jobs.submit(
            lambda: self.order(asked),
            asked=given,
            **{name: given[name] for name in ("priority", "paused") if name in given},
            **options,
        )

    async def wait(self, jobs: Sequence[Job], request: Request, *, cancel: bool = True) -> None:
        """Wait until jobs are over; where the client leaves before, ``cancel`` ends them."""
        for job in jobs:
            feed = await run_in_threadpool(self.jobs.feed, job.id)
            async for told in feed.follow(beat=_LOOK):
                if told is None and cancel and await request.is_disconnected():
                    await run_in_threadpool(self.cancel, jobs)

    def cancel(self, jobs: Iterable[Job]) -> None:
        """End jobs; those that are over stay as they are."""
        for job in jobs:
            with suppress(JobConflictError):
                self.jobs.cancel(job.id)


class _BoundedRequest(Request):
    """A request whose JSON is read as a stranger's: bounded in depth and count, no key twice, no NaN."""

    async def json(self) -> Any:
        """Return the body."""
        try:
            return loads(await self.body(), source="the request")
        except LimitError as error:
            raise HTTPException(413, detail=error_json(error)) from error
        except WorkflowError as error:
            raise HTTPException(400, detail=error_json(error)) from error


class BoundedRoute(APIRoute):
    """A route that reads JSON within bounds; every router of this service has it."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return what handles a request."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await inner(_BoundedRequest(request.scope, request.receive))

        return handle


def make_app(service: Service, routers: Sequence[APIRouter]) -> FastAPI:
    """Put the application together; closing it closes the service.

    Args:
        service: What answers.
        routers: The interfaces.
    """
    from graphflow import __version__

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="graphflow",
        version=__version__ or "0",
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # their pages run scripts of other servers
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False},
    )
    app.state.service = service
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    for router in routers:
        app.include_router(router)
    if service.options.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(service.options.origins), allow_methods=["*"], allow_headers=["*"]
        )
    app.add_middleware(Guard, options=service.options)
    describe(app)
    return app


def file_response(path: Path, name: str | None = None) -> FileResponse:
    """Return the answer that sends a file: a picture may be shown, anything else is saved, nothing runs.

    Args:
        path: The file.
        name: What the client calls it, where that is another name.
    """
    kind = SHOWN.get(path.suffix.lower())
    return FileResponse(
        path,
        media_type=kind or "application/octet-stream",
        filename=name or path.name,
        content_disposition_type="inline" if kind else "attachment",
    )


def error_response(request: Request, status: int, told: Mapping[str, Any]) -> JSONResponse:
    """Return the answer that tells an error."""
    shown = {name: told.get(name) for name in ("message", "where", "advice", "problems")}
    headers = {"retry-after": "1"} if status == 429 else None
    return JSONResponse(request.app.state.service.told(shown), status, headers=headers)


async def _known_error(request: Request, error: Exception) -> Response:
    return error_response(request, status_of(error), error_json(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    told: Any = error.detail
    if not isinstance(told, Mapping):
        place = f"{request.method} {request.url.path}"
        told = {"message": str(told), "where": place, "advice": "/v1/openapi.json says what can be asked"}
    answer = error_response(request, error.status_code, told)
    answer.headers.update(error.headers or {})
    return answer


async def _wrong_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [problem_json(problem) for problem in problems_of(error.errors())]
    return error_response(request, 422, {"message": "the request has a problem", "problems": problems})


def problems_of(errors: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Return what pydantic finds wrong as problems."""
    return [Problem(".".join(map(str, error["loc"])), str(error["msg"])) for error in errors]


async def _bug(request: Request, error: Exception) -> Response:
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    told = {"message": "this is a bug in graphflow", "advice": "the service's log has the details"}
    return error_response(request, 500, told)


_HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Any]] = {
    GraphflowError: _known_error,
    StarletteHTTPException: _http_error,
    RequestValidationError: _wrong_request,
    Exception: _bug,
}
