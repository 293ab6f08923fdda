"""The router of ComfyUI's interface: each route under its name, and again under ``/api``."""

from __future__ import annotations

from fastapi import APIRouter

from graphflow.service.app import BoundedRoute, Service
from graphflow.service.comfyui.desk import Desk, Part
from graphflow.service.comfyui.queue import queue_routes
from graphflow.service.comfyui.socket import socket_routes

PARTS: tuple[Part, ...] = (queue_routes, socket_routes)


def comfyui_router(service: Service) -> APIRouter:
    """Return ComfyUI's interface of a service."""
    desk = Desk(service)
    named = APIRouter(route_class=BoundedRoute, include_in_schema=False)  # ComfyUI describes it
    for part in PARTS:
        part(named, desk)
    router = APIRouter(route_class=BoundedRoute, include_in_schema=False)
    router.include_router(named)
    router.include_router(named, prefix="/api")
    return router
