"""This process's connection to Ray, of which there is one at most, and the manners that Ray is taught.

A cluster of one's own listens on loopback only, tells nobody of its use, keeps everything in a folder that goes with it,
and ends with the process, however that ends: the kernel ends Ray's daemons together with the thread that started them,
which is therefore one that lives as long as the connection.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from graphflow.errors import InvalidInputError

LOCAL = "local"
_LOOPBACK = "127.0.0.1"
_FOLDERS = "graphflow-ray-"
_LOCK = "lock"
_LONGEST = 20
_PATIENCE = 10.0
_lock = threading.Lock()
_current: list[_Connection] = []


def connect(place: str) -> None:
    """Connect the process to a cluster, or share the connection that there is.

    Args:
        place: ``local`` starts one for this process, else ``auto`` or ``HOST:PORT`` of one that this machine belongs to.

    Raises:
        InvalidInputError: Ray is not installed, cannot be started or reached, or the process is connected to another cluster.
    """
    with _lock:
        if _current and _current[0].place != place:
            raise InvalidInputError(
                f"this process is connected to {_current[0].place}",
                where=f"--cluster {place}",
                advice="close that session before, or use another process",
            )
        if not _current:
            _current.append(_Connection(place))
        try:
            _current[0].join()
        except BaseException:
            _current.clear()
            raise


def disconnect() -> None:
    """Let go of the connection; the last to do so ends it, and a cluster of this process with it."""
    with _lock:
        if _current and _current[0].leave():
            _current.clear()


class _Connection:
    """The connection, kept by a thread of its own."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._users = 0
        self._over = threading.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._keep, name="graphflow-ray", daemon=True)

    def join(self) -> None:
        if not self._users:
            self._thread.start()
            atexit.register(self._end)
        self._users += 1
        self._ready.wait()
        if isinstance(self._failure, ModuleNotFoundError) and self._failure.name == "ray":
            raise InvalidInputError(
                "the package ray is missing", where="--cluster", advice='pip install "graphflow-diffusers[ray]"'
            ) from self._failure
        if self._failure is not None:
            raise InvalidInputError(
                f"Ray cannot be {'started' if self.place == LOCAL else 'reached'}: {first_line(self._failure)}",
                where=f"--cluster {self.place}",
                advice="docs/deploy.md says what a cluster needs",
            ) from self._failure

    def leave(self) -> bool:
        self._users -= 1
        if self._users > 0:
            return False
        atexit.unregister(self._end)
        self._end()
        return True

    def _end(self) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        with contextlib.ExitStack() as stack:
            try:
                _start(self.place, stack)
            except BaseException as error:  # it goes to the thread that waits
                self._failure = error
            self._ready.set()
            if self._failure is None:
                self._over.wait()


def _start(place: str, stack: contextlib.ExitStack) -> None:
    own: dict[str, Any] = {}
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if place == LOCAL:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray keeps one in the home folder
        _sweep()
        folder = tempfile.mkdtemp(prefix=_FOLDERS, dir=_folders())
        stack.enter_context(FileLock(Path(folder, _LOCK)))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        own = {
            "num_cpus": 1,
            "include_dashboard": False,
            "_node_ip_address": _LOOPBACK,
            "_temp_dir": folder,
        }
    import ray

    if place == LOCAL or _answers(place):
        # Else Ray takes another address in the place of loopback's, and its daemons listen on every interface.
        constants = ray._private.ray_constants
        stack.callback(setattr, constants, "ENABLE_RAY_CLUSTER", constants.ENABLE_RAY_CLUSTER)
        constants.ENABLE_RAY_CLUSTER = False
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # It prints deaths of workers on standard output, which belongs to answers; runs tell of them themselves.
    ray._private.worker.listen_error_messages = lambda worker, threads_stopped: None
    if ray.is_initialized():
        raise RuntimeError("this program has connected to Ray itself")
    stack.callback(ray.shutdown)
    ray.init(address=place, configure_logging=False, log_to_driver=False, namespace=secrets.token_hex(8), **own)
    if place == LOCAL and (listening := ray.util.get_node_ip_address()) != _LOOPBACK:
        raise RuntimeError(f"it listens at {listening} and not on loopback alone")


def _answers(place: str) -> bool:
    """Return whether a cluster is reached by loopback.

    Raises:
        OSError: Nothing answers there.
    """
    host, _, port = place.rpartition(":")
    if not host:
        return False
    with socket.create_connection((host, int(port)), timeout=_PATIENCE) as connected:
        return str(connected.getpeername()[0]) == _LOOPBACK


def _folders() -> Path:
    """Return where folders of clusters are made: where Ray's names of sockets, which have a length at most, fit in."""
    usual = tempfile.gettempdir()
    return Path(usual if len(usual) <= _LONGEST or os.name == "nt" else "/tmp")


def _sweep() -> None:
    """Remove the folders of processes that were killed: nobody holds their locks."""
    for folder in _folders().glob(f"{_FOLDERS}*"):
        with contextlib.suppress(Timeout, OSError):
            if (folder / _LOCK).exists():
                with FileLock(folder / _LOCK, blocking=False):
                    shutil.rmtree(folder, ignore_errors=True)


def first_line(error: BaseException) -> str:
    """Return what an error of Ray says, without its pages of advice."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
