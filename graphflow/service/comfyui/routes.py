"""The router of ComfyUI's interface: each route under its name, and again under ``/api``."""

from __future__ import annotations

from fastapi import APIRouter

from graphflow.service.app import Service
from graphflow.service.comfyui.desk import Desk, Part
from graphflow.service.comfyui.files import file_routes
from graphflow.service.comfyui.jobs import job_routes
from graphflow.service.comfyui.queue import queue_routes
from graphflow.service.comfyui.refusals import Route
from graphflow.service.comfyui.socket import socket_routes
from graphflow.service.comfyui.system import system_routes
from graphflow.service.comfyui.users import user_routes

PARTS: tuple[Part, ...] = (
    queue_routes,
    socket_routes,
    job_routes,
    file_routes,
    system_routes,
    user_routes,
)


def comfyui_router(service: Service) -> APIRouter:
    """Return ComfyUI's interface of a service."""
    desk = Desk(service)
    named = APIRouter(route_class=Route, include_in_schema=False)  # ComfyUI describes it
    for part in PARTS:
        part(named, desk)
    router = APIRouter(route_class=Route, include_in_schema=False)
    router.include_router(named)
    router.include_router(named, prefix="/api")
    return router
