"""Files that clients send, and those that they look at: ``/upload/image``, ``/upload/mask`` and ``/view``."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from graphflow.basics.pictures import read_picture
from graphflow.errors import InvalidInputError
from graphflow.service.app import SHOWN, file_response
from graphflow.service.comfyui.desk import Desk
from graphflow.service.comfyui.names import Place, place_of
from graphflow.service.comfyui.refusals import absent
from graphflow.service.uploads import pieces

_PREVIEWS = {"webp": "image/webp", "jpeg": "image/jpeg"}
_QUALITY = 90
_MOST_FIELDS = 20


def file_routes(router: APIRouter, desk: Desk) -> None:
    """Add the routes."""

    @router.post("/upload/image")
    async def image(request: Request) -> Response:
        return await _taken(desk, request, masked=False)

    @router.post("/upload/mask")
    async def mask(request: Request) -> Response:
        return await _taken(desk, request, masked=True)

    @router.get("/view")
    def view(
        filename: str = "", subfolder: str = "", type: str = "output", preview: str = "", channel: str = "rgba"
    ) -> Response:
        place = place_of(filename, subfolder, type) if filename else None
        path = None if place is None else desk.path(place)
        if place is None or path is None:
            return absent(filename)
        if (preview or channel != "rgba") and SHOWN.get(path.suffix.lower(), "").startswith("image/"):
            return _rendered(path, place, preview, channel)
        return file_response(path, place.filename)


async def _taken(desk: Desk, request: Request, *, masked: bool) -> Response:
    async with request.form(max_files=1, max_fields=_MOST_FIELDS) as form:
        sent = form.get("image")
        if not isinstance(sent, UploadFile) or not sent.filename:
            raise InvalidInputError("the form has no file", where="image", advice="send one with its name")
        place = place_of(sent.filename, _text(form, "subfolder"), _text(form, "type") or "input")
        if masked:
            data = await run_in_threadpool(_masked, _original(desk, form), sent.file)
            upload = await desk.service.uploads.take(pieces(io.BytesIO(data)))
        else:
            upload = await desk.service.uploads.take(pieces(sent.file))
        overwrite = _text(form, "overwrite").lower() in ("true", "1")
    named = await run_in_threadpool(desk.names.call_upload, place, upload.name, overwrite=overwrite)
    body = {"name": named.filename, "subfolder": named.subfolder, "type": named.type}
    return Response(json.dumps(body), media_type="application/json")


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _original(desk: Desk, form: FormData) -> Path:
    """Return the picture that a mask is for."""
    try:
        told: Any = json.loads(_text(form, "original_ref"))
        place = place_of(str(told["filename"]), str(told.get("subfolder") or ""), str(told.get("type") or "output"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            "it names no picture", where="original_ref", advice='send {"filename", "subfolder", "type"}'
        ) from error
    path = desk.path(place)
    if path is None:
        raise InvalidInputError("there is no such picture", where=place.below, advice="send it first")
    return path


def _masked(path: Path, mask: Any) -> bytes:
    """Return a picture with the transparency of a mask, as PNG."""
    with path.open("rb") as stream:
        picture = read_picture("image", stream, "the picture", lambda it: it.convert("RGBA"), _ignore)
    alpha = read_picture("image", mask, "the mask", lambda it: it.convert("RGBA").getchannel("A"), _ignore)
    if alpha.size != picture.size:
        alpha = alpha.resize(picture.size)
    picture.putalpha(alpha)
    return _encoded(picture, "PNG")


def _rendered(path: Path, place: Place, preview: str, channel: str) -> Response:
    """Return a picture in another form: some of its channels, or smaller in bytes."""
    with path.open("rb") as stream:
        picture = read_picture("image", stream, place.filename, lambda it: it.convert("RGBA"), _ignore)
    if channel == "rgb":
        picture = picture.convert("RGB")
    elif channel == "a":
        alpha, picture = picture.getchannel("A"), Image.new("RGBA", picture.size)
        picture.putalpha(alpha)
    kind, options = "png", {}
    if preview:
        kind, _, quality = preview.partition(";")
        kind = kind if kind in _PREVIEWS else "webp"
        options = {"quality": min(int(quality), 100) if quality.isdecimal() else _QUALITY}
        picture = picture.convert("RGB") if kind == "jpeg" else picture
    headers = {"content-disposition": f"inline; filename*=utf-8''{quote(place.filename)}"}
    data = _encoded(picture, kind.upper(), **options)
    return Response(data, media_type=_PREVIEWS.get(kind, "image/png"), headers=headers)


def _ignore(text: str) -> None:
    """Say nothing of a damaged picture: it is shown as far as it can be read."""


def _encoded(picture: Image.Image, format: str, **options: Any) -> bytes:
    made = io.BytesIO()
    picture.save(made, format, **options)
    return made.getvalue()
