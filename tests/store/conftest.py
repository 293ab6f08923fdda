"""Fixtures of the store's tests: a folder, keys, and processes that already have torch imported."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import graphflow.store


@pytest.fixture(scope="session")
def key() -> Callable[[object], str]:
    """A valid key for any name."""
    return lambda name: hashlib.sha256(str(name).encode()).hexdigest()


class Workers:
    """Starts tasks of ``store_workers.py`` in processes forked from one that has torch imported."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        script = Path(__file__).with_name("store_workers.py")
        root = Path(graphflow.store.__file__).parents[2]
        environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        self._server = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
        )

    def start(self, task: str, **arguments: Any) -> int:
        """Start a task; gives the process id."""
        process = self._ask("start", [task, arguments])
        self._running.add(process)
        return process

    def wait(self, process: int) -> int:
        """Wait for a task's end; 0 if it succeeded, minus the signal if it was killed."""
        status = self._ask("wait", process)
        self._running.discard(process)
        return status

    def kill(self, process: int) -> int:
        """Kill a task without warning and wait for its end."""
        os.kill(process, signal.SIGKILL)
        return self.wait(process)

    def close(self) -> None:
        """End the server and what a failed test left running."""
        for process in self._running:
            os.kill(process, signal.SIGKILL)
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(timeout=300)
        self._server.stdout.close()

    def _ask(self, what: str, about: object) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([what, about]) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    """Processes that share a folder with the test."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    server = Workers()
    yield server
    server.close()
