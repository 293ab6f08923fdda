"""Listening: the address, the token, and the end."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from graphflow.basics.atomic import write_new
from graphflow.errors import InvalidInputError
from graphflow.service.options import TOKEN_VARIABLE

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_LEAST = 16
_PATIENCE = 3
"""Seconds that open connections have at the end."""
_LARGEST_MESSAGE = 2**20
_CONNECTIONS = 1_000


def token_of(folder: Path, *, wanted: bool) -> tuple[str | None, str]:
    """Return the token of a service and where it stands: in ``GRAPHFLOW_TOKEN``, else in a file that is made once.

    Args:
        folder: Where that file stands.
        wanted: Whether there must be one.

    Raises:
        InvalidInputError: It is too short to be one, or cannot be read or written.
    """
    given, place = os.environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE
    if not given and not wanted:
        return None, ""
    if not given:
        path = folder / "token"
        place = str(path)
        before = os.umask(0o077)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_new(path, secrets.token_urlsafe(32).encode())
            given = path.read_text("ascii").strip()
        except (OSError, UnicodeError) as error:
            text = getattr(error, "strerror", None) or "it holds no token"
            advice = f"name another folder with --data, remove the file, or set {TOKEN_VARIABLE}"
            raise InvalidInputError(f"cannot be used: {text}", where=place, advice=advice) from error
        finally:
            os.umask(before)
    if len(given) < _LEAST:
        advice = "python -c 'import secrets; print(secrets.token_urlsafe())' draws one"
        raise InvalidInputError(f"a token has at least {_LEAST} characters", where=place, advice=advice)
    return given, place


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        InvalidInputError: The address is taken, or none of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        text = (getattr(error, "strerror", None) or str(error)).lower()
        elsewhere = isinstance(error, socket.gaierror) or getattr(error, "errno", None) == errno.EADDRNOTAVAIL
        advice = "stop what does, or choose another --port"
        if elsewhere:
            advice = "name an address of this machine with --host: 127.0.0.1, or 0.0.0.0 for all that it has"
        raise InvalidInputError(f"cannot listen there: {text}", where=f"{host}:{port}", advice=advice) from error
    # Connections inherit it; else an answer of two writes waits 40 ms for the client's word that the first one has come.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def serve(app: ASGIApp, listening: socket.socket, ready: Callable[[str], None]) -> None:
    """Answer requests until a signal ends it.

    Args:
        app: What answers.
        listening: Where.
        ready: Told the address once requests are answered.
    """
    host, port = listening.getsockname()[:2]
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws_max_size=_LARGEST_MESSAGE,
        timeout_graceful_shutdown=_PATIENCE,
        limit_concurrency=_CONNECTIONS,
    )
    server = _Server(config)
    server.ready = lambda: ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    # The server hands a signal on once it has ended, and then there is nothing left to do.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()
