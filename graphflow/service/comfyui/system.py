"""What there is: node types, models, the machine, what the service can."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from graphflow.converters.comfyui.rules import RULES
from graphflow.errors import ModelNotFoundError
from graphflow.library.library import Library
from graphflow.library.roots import KIND_FOLDERS
from graphflow.modelfiles.description import Kind
from graphflow.modelfiles.formats import read_header
from graphflow.planning.numerics import version_of
from graphflow.service.comfyui.desk import Desk
from graphflow.service.comfyui.refusals import absent
from graphflow.session import Session

COMFYUI_VERSION = "0.3.64"
"""The version whose interface this is; clients ask for it."""
_OLD_NAMES = {"unet": "diffusion_models", "clip": "text_encoders"}


def system_routes(router: APIRouter, desk: Desk) -> None:
    """Add the routes."""
    session = desk.service.session

    @router.get("/object_info")
    def types() -> dict[str, Any]:
        table = desk.table()
        return {type: table.shown(type) for type in RULES}

    @router.get("/object_info/{type:path}")
    def one_type(type: str) -> dict[str, Any]:
        info = desk.table().shown(type)
        return {} if info is None else {type: info}

    @router.get("/models")
    def folders() -> list[str]:
        return list(FOLDERS)

    @router.get("/models/{folder}")
    def models(folder: str) -> Response:
        folder = _OLD_NAMES.get(folder, folder)
        if folder not in FOLDERS:
            return absent(folder)
        return JSONResponse(models_in(session.library, folder))

    @router.get("/view_metadata/{folder}")
    def metadata(folder: str, filename: str = "") -> Response:
        try:
            found = session.library.resolve(filename, FOLDERS.get(_OLD_NAMES.get(folder, folder)))
        except ModelNotFoundError:
            return absent(filename)
        told = dict(read_header(found.path).metadata) if found.path is not None and found.path.is_file() else {}
        return JSONResponse(told) if told else absent(filename)

    @router.get("/embeddings")
    def embeddings() -> list[str]:
        return [name.rpartition(".")[0] or name for name in desk.table().models("embedding")]

    @router.get("/features")
    def features() -> dict[str, Any]:
        return desk.features

    @router.get("/system_stats")
    def stats() -> dict[str, Any]:
        return system_stats(session.models.device)

    @router.post("/free")
    async def free(request: Request) -> Response:
        asked = await request.json()
        if isinstance(asked, dict) and (asked.get("unload_models") or asked.get("free_memory")):
            await run_in_threadpool(_free, session)
        return Response()


def _free(session: Session) -> None:
    """Let go all models that no job uses; what is stored of values stays, since none of it is on the device."""
    if "torch" not in sys.modules:  # nothing was loaded
        return
    from graphflow.loading.manager import ModelManager

    if isinstance(session.models, ModelManager):
        session.models.free()


def system_stats(device: str) -> dict[str, Any]:
    """Return what is told of the machine; where things stand on it is not.

    Args:
        device: The device that models compute on, as torch calls it.
    """
    import torch

    from graphflow.loading.devices import device_memory, free_memory, main_memory

    place, memory = torch.device(device), torch.device("cpu")
    total, free = device_memory(place), free_memory(place)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else place.type
    held = torch.cuda.memory_reserved(place) if place.type == "cuda" else total
    unused = held - torch.cuda.memory_allocated(place) if place.type == "cuda" else free
    return {
        "system": {
            "os": os.name,
            "ram_total": main_memory(),
            "ram_free": free_memory(memory) or 0,
            "comfyui_version": COMFYUI_VERSION,
            "required_frontend_version": None,
            "installed_templates_version": None,
            "required_templates_version": None,
            "python_version": sys.version,
            "pytorch_version": version_of("torch"),
            "embedded_python": False,
            "argv": ["graphflow", "serve"],
        },
        "devices": [
            {
                "name": name,
                "type": place.type,
                "index": place.index,
                "vram_total": total,
                "vram_free": free or 0,
                "torch_vram_total": held,
                "torch_vram_free": unused or 0,
            }
        ],
    }


def _folders() -> Mapping[str, Kind]:
    found: dict[str, Kind] = {}
    for kind, names in KIND_FOLDERS.items():
        for name in names:
            if name not in _OLD_NAMES and "/" not in name:
                found.setdefault(name, kind)
    return found


FOLDERS: Mapping[str, Kind] = _folders()
"""The model folders that clients may ask for, with the kind of model in each."""


def models_in(library: Library, folder: str) -> list[str]:
    """Return the models in a folder of some name; a kind's first folder has those, too, that stand in none."""
    kind = FOLDERS[folder]
    first = KIND_FOLDERS[kind][0] == folder
    names = []
    for entry in library.entries(kind):
        parts = entry.path.relative_to(entry.root.path).parts if entry.path.is_relative_to(entry.root.path) else ()
        own = next((part for part in parts[:1] if part in FOLDERS or part in _OLD_NAMES), None)
        if _OLD_NAMES.get(own or "", own) == folder or (first and own is None and entry.kind == kind):
            names.append(entry.name)
    return list(dict.fromkeys(names))
