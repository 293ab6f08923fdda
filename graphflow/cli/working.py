"""The worker: a process that has everything imported and keeps its session between commands.

One thread takes requests, the main one carries out commands, one after the other: a command has the process's streams, folder,
environment and signals for itself, as if it were alone. ``python -m graphflow.cli.working MINUTES`` is the process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from graphflow.cli import handing, options
from graphflow.cli.app import run_command
from graphflow.cli.failures import INTERRUPTED

if TYPE_CHECKING:
    from graphflow.session import Session
    from graphflow.settings import Settings

_LOOK = 2.0
"""Seconds between two looks at the memory that is left."""
_LEAST_MEMORY = 0.1
"""Share of the memory that must be available for the worker to keep what it has loaded."""


class Sessions:
    """Keeps the session of the last command for the next one with the same settings and node packs."""

    def __init__(self) -> None:
        self._key: Any = None
        self._session: Session | None = None

    def make(self, settings: Settings, packs: Sequence[Path], no_cache: bool) -> Session:
        """Return the session that is kept, or a new one."""
        key = (settings, tuple((path.absolute(), path.stat().st_mtime_ns) for path in packs if path.exists()))
        if no_cache:
            self.drop()  # two sessions would load models twice
            return options.new_session(settings, packs, no_cache)
        if self._session is None or key != self._key:
            self.drop()
            import torch

            # Torch keeps it for the process, so the last session's word would hold.
            torch.use_deterministic_algorithms(settings.deterministic, warn_only=True)
            self._session, self._key = options.new_session(settings, packs, no_cache), key
        return self._session

    def drop(self) -> None:
        """Give back the memory that the session holds."""
        if self._session is not None:
            self._session.close()
        self._session = self._key = None
        gc.collect()


class Worker:
    """Takes commands from a socket.

    Args:
        minutes: How long it stays without one.
    """

    def __init__(self, minutes: float) -> None:
        self._minutes = minutes
        self._started = time.time()
        self._sessions = Sessions()
        self._installed = handing.installed()
        self._bound = handing.bound(os.environ)
        self._waiting: queue.Queue[tuple[socket.socket, dict[str, Any], list[int]] | None] = queue.Queue()
        self._active: socket.socket | None = None
        self._lock = threading.Lock()
        self._done = 0

    def serve(self, listening: socket.socket) -> None:
        """Carry out commands until it is stopped, or nobody has one for long."""
        options.make_sessions_by(self._sessions.make)
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < self._minutes * 60:
            try:
                taken = self._waiting.get(timeout=_LOOK)
            except queue.Empty:
                if _memory_is_short():
                    self._sessions.drop()
                continue
            if taken is None:
                return
            self._carry_out(*taken)
            idle_since = time.monotonic()
            if _memory_is_short():
                self._sessions.drop()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:  # nobody listens any more
                return
            connection.settimeout(5)
            try:
                asked, handles = handing.receive(connection)
                connection.settimeout(None)
                if asked["do"] == "run":
                    self._waiting.put((connection, asked, handles))
                    continue
                handing.send(connection, self._told())
                if asked["do"] == "stop":
                    self._waiting.put(None)
                    self._interrupt(self._active)
            except (OSError, EOFError, ValueError, KeyError):
                pass
            connection.close()

    def _told(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "started": self._started,
            "done": self._done,
            "busy": self._active is not None,
            "waiting": self._waiting.qsize(),
            "current": handing.installed() == self._installed,
        }

    def _refusal(self, asked: Mapping[str, Any]) -> str:
        """Say why a command is not for this worker; empty where it is."""
        if asked["installed"] != self._installed:
            return "the worker is of another version"
        theirs = handing.bound(asked["environment"])
        unlike = sorted(name for name in theirs.keys() | self._bound if theirs.get(name) != self._bound.get(name))
        return f"the worker has other settings ({', '.join(unlike)})" if unlike else ""

    def _carry_out(self, connection: socket.socket, asked: Mapping[str, Any], handles: list[int]) -> None:
        with connection, contextlib.suppress(OSError):
            try:
                if refusal := self._refusal(asked):
                    handing.send(connection, {"refused": refusal})
                    return
                handing.send(connection, {"begun": True})  # fails where the client has gone
                with self._lock:
                    self._active = connection
                watching = threading.Thread(target=self._watch, args=(connection,), daemon=True)
                watching.start()
                code = INTERRUPTED
                with contextlib.suppress(KeyboardInterrupt):
                    code = _command(asked, handles, self._release)
                self._done += 1
                handing.send(connection, {"code": code})
            finally:
                self._release()
                for handle in handles:
                    os.close(handle)

    def _release(self) -> None:
        """From here on nobody interrupts the command."""
        with self._lock:
            self._active = None

    def _watch(self, connection: socket.socket) -> None:
        """Turn what the client says, or that it has gone, into the signal that a command knows."""
        while True:
            try:
                said = connection.recv(1)
            except OSError:
                said = b""
            self._interrupt(connection)
            if not said:
                return

    def _interrupt(self, connection: socket.socket | None) -> None:
        with self._lock:
            if connection is not None and connection is self._active:
                os.kill(os.getpid(), signal.SIGINT)


def _command(asked: Mapping[str, Any], handles: Sequence[int], over: Callable[[], None]) -> int:
    """Run a command as a process of its own would; returns its exit code. ``over`` is called once it has ended."""
    with _stage(asked, handles):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = run_command(asked["arguments"])
        except KeyboardInterrupt:
            code = INTERRUPTED
        finally:
            over()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            code = code or 1
        return code


@contextlib.contextmanager
def _stage(asked: Mapping[str, Any], handles: Sequence[int]) -> Iterator[None]:
    """Give the process the streams, folder and environment of a client until the block ends."""
    kept = [os.dup(number) for number in range(3)]
    streams, environment, folder = (sys.stdin, sys.stdout, sys.stderr), dict(os.environ), Path.cwd()
    encoding = asked["encoding"]
    try:
        for number, handle in enumerate(handles):
            os.dup2(handle, number)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding=encoding, closefd=False, buffering=1 if os.isatty(1) else -1)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = streams
        for number, handle in enumerate(kept):
            os.dup2(handle, number)
            os.close(handle)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)


def _memory_is_short() -> bool:
    """Tell whether the machine has little memory left; False where it does not say."""
    import torch

    from graphflow.loading.devices import free_memory, main_memory

    free = free_memory(torch.device("cpu"))
    return free is not None and free < _LEAST_MEMORY * main_memory()


def main() -> None:
    """Be the worker."""
    folder = handing.place()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.lstat().st_uid != os.getuid() or folder.lstat().st_mode & 0o77:
        sys.exit(f"{folder} does not belong to this user alone")
    try:
        owned = FileLock(folder / "lock").acquire(timeout=0)
    except Timeout:
        sys.exit("there is a worker already")
    with owned:
        path = folder / "worker.sock"
        path.unlink(missing_ok=True)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            path.chmod(0o600)
            _warm()
            listening.listen(64)
            try:
                Worker(float(sys.argv[1])).serve(listening)
            finally:
                path.unlink(missing_ok=True)
    os._exit(0)  # taking the interpreter apart takes a second


def _warm() -> None:
    """Import what runs need."""
    import graphflow.cli.progress
    import graphflow.cli.sweep
    import graphflow.loading.manager
    import graphflow.nodes  # noqa: F401


if __name__ == "__main__":
    main()
