"""Python programs in fresh processes that need not import torch and Diffusers again.

One server process imports the large libraries and nothing of graphflow; each program runs in a child forked from it,
with its own arguments, folder, environment and output. Where there is no fork, it is an ordinary process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
SERVER = Path(__file__).with_name("fresh_server.py")


@dataclass(frozen=True)
class Ran:
    """What a program did: its exit code (negative: the signal that ended it) and what it printed."""

    code: int
    out: str
    err: str


class Fresh:
    """Runs programs; the server starts with the first one. To be used as a context."""

    def __init__(self, first: Path | None = None, *arguments: object) -> None:
        """Make it.

        Args:
            first: A module whose ``prepare`` the server calls once: what it loads and changes, all programs find so.
            *arguments: Texts that ``prepare`` gets.
        """
        self._first = [] if first is None else [str(first), *map(str, arguments)]
        self._server: subprocess.Popen[str] | None = None

    def run(self, script: Path, *arguments: object, **options: object) -> Ran:
        """Run a script.

        Args:
            script: The file.
            *arguments: Its arguments.
            **options: See :meth:`execute`.
        """
        return self._run(script.read_text("utf-8"), str(script), arguments, **options)  # type: ignore[arg-type]

    def execute(self, code: str, *arguments: object, **options: object) -> Ran:
        """Run code, as ``python -c`` does.

        Args:
            code: The code.
            *arguments: Its arguments.
            **options: ``cwd``, its folder (the repository's by default); ``env``, what its environment has beside this
                one's; ``blocked``, packages that it cannot import (``graphflow`` by default); ``timeout`` in seconds.
        """
        return self._run(code, "-c", arguments, **options)  # type: ignore[arg-type]

    def _run(
        self,
        code: str,
        name: str,
        arguments: Sequence[object],
        *,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        blocked: Sequence[str] = ("graphflow",),
        timeout: float = 300.0,
    ) -> Ran:
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            task = {
                "code": code,
                "argv": [name, *map(str, arguments)],
                "cwd": str(cwd),
                "env": {**os.environ, **(env or {})},
                "blocked": list(blocked),
                "out": str(out),
                "err": str(err),
                "timeout": timeout,
            }
            status = self._ask(task)
            return Ran(status, out.read_text("utf-8"), err.read_text("utf-8"))

    def _ask(self, task: Mapping[str, object]) -> int:
        if not hasattr(os, "fork"):
            return subprocess.run(
                [sys.executable, str(SERVER), "once"], input=json.dumps(task), text=True, encoding="utf-8"
            ).returncode
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, str(SERVER), *self._first],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            )
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(task) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        if not answer:
            raise RuntimeError(f"the server of fresh processes ended with {self._server.wait()}")
        status = int(json.loads(answer))
        if status == -signal.SIGKILL:
            raise TimeoutError(f"{task['argv']} took more than {task['timeout']} s, or was killed")
        return status

    def __enter__(self) -> Fresh:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._server is not None:
            assert self._server.stdin is not None and self._server.stdout is not None
            self._server.stdin.close()
            self._server.stdout.close()
            self._server.wait()
