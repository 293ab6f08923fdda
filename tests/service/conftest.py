"""Services over the toy nodes, and clients that call them by their address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from graphflow.service.app import Service, make_app
from graphflow.service.native import native_router
from graphflow.service.options import ServiceOptions
from tests.conftest import ToySession

Serve = Callable[..., TestClient]


@contextmanager
def served(folder: Path, settings: dict[str, Any] | None = None, **options: Any) -> Iterator[TestClient]:
    """Start a service until the block ends."""
    with ToySession(folder).fresh(**(settings or {})) as session:
        service = Service(session, folder / "service", ServiceOptions(**options))
        app = make_app(service, [native_router(service)])
        with TestClient(app, base_url="http://127.0.0.1:8189", raise_server_exceptions=False) as client:
            yield client


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start services; the keyword arguments are their options."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(served(tmp_path, **options))


@pytest.fixture
def client(serve: Serve) -> TestClient:
    """Start a service of its own."""
    return serve()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Start one service for all tests of a module that do not count jobs."""
    with served(tmp_path_factory.mktemp("shared")) as client:
        yield client
