"""What only the front end asks, below ``/internal``: the log, model folders, lists of files. Third parties describe the answers.

The log stays empty, and folders have names in place of paths: no answer tells what stands where on the machine.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from graphflow.service.comfyui.desk import Desk
from graphflow.service.comfyui.names import TYPES, Place
from graphflow.service.comfyui.refusals import absent
from graphflow.service.comfyui.system import FOLDERS

_TERMINAL = {"cols": 80, "rows": 24}


def internal_routes(router: APIRouter, desk: Desk) -> None:
    """Add the routes."""

    @router.get("/internal/logs")
    def log() -> str:
        return ""

    @router.get("/internal/logs/raw")
    def entries() -> dict[str, Any]:
        return {"entries": [], "size": _TERMINAL}

    @router.patch("/internal/logs/subscribe")
    def subscribe() -> Response:
        return Response()

    @router.get("/internal/folder_paths")
    def folders() -> dict[str, list[str]]:
        return {name: [f"models/{name}"] for name in FOLDERS}

    @router.get("/internal/files/{type}")
    def files(type: str) -> Response:
        """List what stands directly in the folder of a type, the newest first."""
        found = next((known for known in TYPES if known == type), None)
        if found is None:
            return absent(type)
        there = [(changed, place.filename) for place in desk.names.listed(found) if (changed := _changed(desk, place))]
        return JSONResponse([name for _, name in sorted(there, reverse=True)])


def _changed(desk: Desk, place: Place) -> float | None:
    """Return when a file was written; None where it is in a folder of its own, or gone."""
    path = None if place.subfolder else desk.path(place)
    return None if path is None or not path.is_file() else path.stat().st_mtime
