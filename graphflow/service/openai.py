"""The interface of OpenAI's image clients: ``/v1/images/generations`` and ``/v1/images/edits``.

A ``model`` is the name of a packaged workflow. What a client asks for and the workflow has no input for is refused, so that
no picture is another one than was asked for. Source: https://platform.openai.com/docs/api-reference/images
"""

from __future__ import annotations

import base64
import io
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field, Json, JsonValue, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException

from graphflow.basics.pictures import read_picture
from graphflow.document.document import read
from graphflow.errors import GraphflowError, InvalidInputError
from graphflow.jobs.job import Job
from graphflow.jobs.telling import error_json
from graphflow.service.app import BoundedRoute, Service
from graphflow.service.statuses import status_of
from graphflow.service.uploads import pieces
from graphflow.service.views import WorkflowAsked, job_view
from graphflow.workflows import path

_PICTURES = frozenset({".png", ".webp", ".jpg", ".jpeg"})


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[str, Field(max_length=32_000)]
    n: Annotated[int | None, Field(ge=1, le=10, description="how many, with seeds that follow each other")] = None
    size: Annotated[
        str | None, Field(pattern=r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$", description="WIDTHxHEIGHT, or auto")
    ] = None
    seed: Annotated[
        int | None, Field(ge=0, lt=2**32, description="of the first picture; drawn where it is missing")
    ] = None
    response_format: Annotated[Literal["b64_json", "url"] | None, Field(description="b64_json where it is missing")] = (
        None
    )
    user: str | None = None
    # These would change pictures in a way that a workflow does not know: what changes nothing is all that is taken.
    quality: Literal["auto", "standard"] | None = None
    background: Literal["auto"] | None = None
    output_format: Literal["png"] | None = None
    stream: Literal[False] | None = None


class Generation(_Fields):
    """A request for pictures."""

    model: Annotated[str | None, Field(description="a packaged workflow's name; txt2img where it is missing")] = None
    inputs: Annotated[dict[str, JsonValue], Field(description="values for other inputs of the workflow")] = {}


class Edit(_Fields):
    """The fields of a form that asks for changed pictures, beside its files."""

    model: str | None = None
    inputs: Json[dict[str, JsonValue]] = {}


class Picture(BaseModel):
    """A picture that was made, as base64 or as an address."""

    b64_json: str | None = None
    url: str | None = None


class Pictures(BaseModel):
    """Pictures that were made; ``created`` is in seconds since 1970."""

    created: int
    data: list[Picture]


class _Route(BoundedRoute):
    """A route whose refusals are in OpenAI's form."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                answer: Response = await inner(request)
                return answer
            except GraphflowError as error:
                return _refused(status_of(error), request.app.state.service.told(error_json(error)))
            except RequestValidationError as error:
                return _refused(400, _wrong(error.errors()))
            except StarletteHTTPException as error:
                told = error.detail if isinstance(error.detail, Mapping) else {"message": str(error.detail)}
                return _refused(error.status_code, told)

        return handle


def openai_router(service: Service) -> APIRouter:
    """Return the interface of OpenAI's image clients."""
    router = APIRouter(prefix="/v1/images", route_class=_Route, include_in_schema=False)  # OpenAI describes it

    @router.post("/generations", response_model_exclude_none=True)
    async def generations(asked: Generation, request: Request) -> Pictures:
        """Make pictures."""
        return await _made(service, request, asked.model or "txt2img", asked, asked.inputs)

    @router.post("/edits", response_model_exclude_none=True)
    async def edits(request: Request) -> Pictures:
        """Change a picture; where the mask is transparent, if there is one."""
        async with request.form(max_files=2, max_fields=20) as form:
            files = {name.removesuffix("[]"): value for name, value in form.items() if isinstance(value, UploadFile)}
            texts = {name: value for name, value in form.items() if isinstance(value, str)}
            if "image" not in files or files.keys() - {"image", "mask"} or len(form.getlist("image[]")) > 1:
                raise InvalidInputError(
                    "the form must have one picture", where="image", advice="send image, and mask if there is one"
                )
            try:
                asked = Edit.model_validate(texts)
            except ValidationError as error:
                raise RequestValidationError(error.errors()) from error
            _apart(asked.inputs, files)
            inputs = dict(asked.inputs)
            inputs["image"] = (await service.uploads.take(pieces(files["image"].file))).name
            if "mask" in files:
                sent = await service.uploads.take(pieces(files["mask"].file))
                mask = await run_in_threadpool(_mask, service.uploads.folder / sent.name)
                inputs["mask"] = (await service.uploads.take(pieces(io.BytesIO(mask)))).name
        return await _made(
            service, request, asked.model or ("inpaint" if "mask" in inputs else "img2img"), asked, inputs
        )

    return router


async def _made(
    service: Service, request: Request, model: str, asked: _Fields, inputs: Mapping[str, JsonValue]
) -> Pictures:
    """Carry out the jobs of a request, which end where its client leaves."""
    jobs = await run_in_threadpool(_submit, service, model, asked, inputs)
    await service.wait(jobs, request)
    base = None if asked.response_format != "url" else str(request.base_url).rstrip("/")
    data = await run_in_threadpool(lambda: [picture for job in jobs for picture in _pictures(service, job.id, base)])
    return Pictures(created=int(time.time()), data=data)


def _submit(service: Service, model: str, asked: _Fields, inputs: Mapping[str, JsonValue]) -> list[Job]:
    _apart(inputs, ("prompt", "seed"))
    known = read(path(model)).inputs
    given = {**inputs, "prompt": asked.prompt}
    if asked.size not in (None, "auto"):
        width, height = str(asked.size).split("x")
        given |= {"width": int(width), "height": int(height)}
    count = asked.n or 1
    seed = secrets.randbelow(2**32 - count) if asked.seed is None else asked.seed
    if asked.seed is not None or count > 1 or "seed" in known:
        given["seed"] = seed
    for name in given:
        if name not in known:
            shown = "size" if name in ("width", "height") and name not in inputs else name
            raise InvalidInputError(
                f"the workflow {model} takes no {name}", where=shown, advice=f"it takes {', '.join(known)}"
            )
    many = [given | ({"seed": (seed + number) % 2**32} if "seed" in given else {}) for number in range(count)]
    jobs: list[Job] = []
    try:
        for one in many:
            jobs.append(service.submit(WorkflowAsked(workflow=model, inputs=one), origin="openai")[0])
    except GraphflowError:
        service.cancel(jobs)
        raise
    return jobs


def _apart(inputs: Mapping[str, JsonValue], fields: Iterable[str]) -> None:
    for name in fields:
        if name in inputs:
            raise InvalidInputError(f"{name} is a field of its own", where=name, advice="leave it out of inputs")


def _pictures(service: Service, id: str, base: str | None) -> list[Picture]:
    job = service.jobs.job(id)
    if job.state != "done":
        cause = job.error or {"message": f"the job was {job.state}"}
        raise HTTPException(400 if cause.get("problems") else 500, cause)
    files = [file for file in job_view(service.jobs, job).files if file.suffix in _PICTURES]
    if not files:
        raise InvalidInputError("the workflow saves no picture", where="model", advice="take another workflow")
    if base is not None:
        return [Picture(url=f"{base}{file.url}") for file in files]
    contents = (service.jobs.file(id, file.name).read_bytes() for file in files)
    return [Picture(b64_json=base64.b64encode(content).decode()) for content in contents]


def _mask(file: Path) -> bytes:
    """Return a mask as workflows read it, white where it counts, of one that is transparent there."""
    with file.open("rb") as stream:
        alpha = read_picture("image", stream, "the mask", _alpha, lambda _: None)
    if alpha is None:
        raise InvalidInputError(
            "the mask has no transparency", where="mask", advice="make it transparent where to change"
        )
    made = io.BytesIO()
    ImageOps.invert(alpha).convert("RGB").save(made, "PNG")
    return made.getvalue()


def _alpha(picture: Image.Image) -> Image.Image | None:
    return picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None


def _wrong(errors: Any) -> dict[str, Any]:
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return {"message": f"{place}: {first['msg']}" if place else str(first["msg"]), "where": place or None}


def _refused(status: int, told: Mapping[str, Any]) -> JSONResponse:
    status = 400 if status == 422 else status
    problems = [f"{problem['path']}: {problem['message']}" for problem in told.get("problems", ())]
    message = "; ".join(part for part in (str(told.get("message") or ""), *problems, told.get("advice") or "") if part)
    kind = "invalid_request_error" if status < 500 else "server_error"
    # The client would send it again by itself; a workflow that failed fails again.
    headers = {"retry-after": "1"} if status == 429 else {"x-should-retry": "false"}
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": told.get("where"), "code": None}}, status, headers
    )
