"""What the front end keeps with the service: settings, and files by name such as workflows and templates.

They stand in a table and not in folders, so that no name leads anywhere.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from graphflow.errors import InvalidInputError
from graphflow.service.comfyui.desk import Desk
from graphflow.service.comfyui.names import UserFile, place_of
from graphflow.service.comfyui.refusals import absent, refusal

SETTINGS = "comfy.settings.json"


def user_routes(router: APIRouter, desk: Desk) -> None:
    """Add the routes."""
    names = desk.names

    def settings() -> dict[str, Any]:
        found = names.user_file(SETTINGS)
        try:
            read = json.loads(found.data) if found is not None else {}
        except ValueError:  # a page may keep whatever it likes under this name
            read = {}
        return read if isinstance(read, dict) else {}

    @router.get("/users")
    def users() -> dict[str, Any]:
        return {"storage": "server", "migrated": True}

    @router.get("/settings")
    def all_settings() -> dict[str, Any]:
        return settings()

    @router.get("/settings/{id:path}")
    def setting(id: str) -> Any:
        return JSONResponse(settings().get(id))

    @router.post("/settings")
    async def change_settings(request: Request) -> Response:
        return await change(await request.json())

    @router.post("/settings/{id:path}")
    async def change_setting(id: str, request: Request) -> Response:
        return await change({id: await request.json()})

    async def change(values: Any) -> Response:
        if not isinstance(values, dict):
            raise InvalidInputError("settings are an object")
        await run_in_threadpool(lambda: names.keep(SETTINGS, json.dumps({**settings(), **values}).encode()))
        return Response()

    @router.get("/userdata")
    def listed(dir: str = "", recurse: str = "", split: str = "", full_info: str = "") -> Response:
        if not dir:
            raise InvalidInputError("name a folder", where="dir")
        beginning = dir.strip("/") + "/"
        found = [file for file in names.user_files() if file.path.startswith(beginning)]
        if not found:
            return absent(dir)
        rows = []
        for file in found:
            below = file.path.removeprefix(beginning)
            if "/" in below and recurse != "true":
                continue
            rows.append(
                _told(file, below) if full_info == "true" else [below, *below.split("/")] if split == "true" else below
            )
        return JSONResponse(rows)

    @router.get("/v2/userdata")
    def entries(path: str = "") -> Response:
        beginning = path.strip("/") + "/" if path.strip("/") else ""
        found: dict[str, dict[str, Any]] = {}
        for file in names.user_files():
            if file.path.startswith(beginning):
                name, _, rest = file.path.removeprefix(beginning).partition("/")
                row = {"name": name, "path": beginning + name, "type": "directory" if rest else "file"}
                found[name] = row if rest else {**row, "size": file.size, "modified": file.modified}
        return JSONResponse(list(found.values()))

    @router.get("/userdata/{file:path}")
    def read(file: str) -> Response:
        found = names.user_file(file)
        if found is None:
            return absent(file)
        kind = (
            "application/json"
            if file.endswith(".json")
            else "text/css"
            if file.endswith(".css")
            else "application/octet-stream"
        )
        return Response(found.data, media_type=kind)

    @router.post("/userdata/{file:path}/move/{to:path}")
    def move(file: str, to: str, overwrite: str = "true", full_info: str = "") -> Response:
        found = names.user_file(file)
        if found is None:
            return absent(file)
        if overwrite == "false" and names.user_file(to) is not None:
            return refusal(409, InvalidInputError("there is one of this name", where=to))
        kept = names.keep(place_of(to).below, found.data)
        names.drop(file)
        return JSONResponse(_told(kept, kept.path) if full_info == "true" else kept.path)

    @router.post("/userdata/{file:path}")
    async def write(file: str, request: Request, overwrite: str = "true", full_info: str = "") -> Response:
        data = await request.body()
        path = place_of(file).below
        if overwrite == "false" and await run_in_threadpool(names.user_file, path) is not None:
            return refusal(409, InvalidInputError("there is one of this name", where=path))
        kept = await run_in_threadpool(names.keep, path, data)
        return JSONResponse(_told(kept, path) if full_info == "true" else path)

    @router.delete("/userdata/{file:path}")
    def delete(file: str) -> Response:
        if not names.drop(file):
            return absent(file)
        return Response(status_code=204)

    @router.get("/extensions")
    def extensions() -> list[str]:
        return []

    @router.get("/i18n")
    @router.get("/workflow_templates")
    @router.get("/global_subgraphs")
    def of_packs() -> dict[str, Any]:
        return {}


def _told(file: UserFile, path: str) -> dict[str, Any]:
    return {
        "path": path,
        "size": file.size,
        "modified": round(1000 * file.modified),
        "created": round(1000 * file.created),
    }
