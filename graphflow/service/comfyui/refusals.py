"""Refusals as ComfyUI has them: a status without a body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response

from graphflow.errors import GraphflowError, InvalidInputError
from graphflow.service.app import BoundedRoute
from graphflow.service.statuses import status_of


def refusal(status: int, error: GraphflowError, told: Callable[[str], str] = str) -> Response:
    """Return a refusal; the header ``x-reason`` says why, with what ``told`` makes of it."""
    reason = "; ".join(part for part in (error.where, error.message, error.advice) if part)
    plain = "".join(char if char.isascii() and char.isprintable() else "?" for char in told(reason))
    return Response(status_code=status, headers={"x-reason": plain})


def absent(what: str) -> Response:
    """Return the refusal of what is not there."""
    return refusal(404, InvalidInputError("there is no such thing", where=what))


class Route(BoundedRoute):
    """A route that refuses in this form."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return what handles a request."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                answer: Response = await inner(request)
                return answer
            except GraphflowError as error:
                status = status_of(error)
                told = request.app.state.service.told
                return refusal(400 if status in (422, 500) else status, error, told)

        return handle
