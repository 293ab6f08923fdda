"""ComfyUI's own front end, of which the user has a copy: its files, as they stand. It is no part of this package."""

from __future__ import annotations

from os import PathLike, stat_result
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from graphflow.errors import InvalidInputError

_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline';"
    " object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""It runs, as pages of this service that nobody else may show in a frame, and reaches no other server."""


class FrontEnd(StaticFiles):
    """Sends the files of a front end.

    Args:
        folder: Where they stand, with ``index.html``.

    Raises:
        InvalidInputError: There is no ``index.html``.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "index.html").is_file():
            raise InvalidInputError(
                "there is no index.html",
                where=str(folder),
                advice="name the folder static of the package comfyui-frontend-package, installed in an environment of its own",
            )
        super().__init__(directory=folder, html=True)

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return the answer that sends a file."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers["content-security-policy"] = _POLICY
        answer.headers["cache-control"] = "no-cache"
        return answer
