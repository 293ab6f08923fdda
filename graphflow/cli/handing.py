"""Handing ``graphflow run`` over to the worker: imports the standard library alone, so that it takes no time.

The worker is a process of the same user that has everything imported and models loaded. It gets the command line, the folder,
the environment and the terminal itself, and runs the command as this process would have: the same output, files, exit codes.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OPTION = "--worker"
VARIABLE = "GRAPHFLOW_WORKER"
POSSIBLE = hasattr(socket, "send_fds")
"""Whether the system has sockets that hand over open files."""
_SHORT = 0.5
"""Seconds after which it is said that the worker is busy."""
_HEAD = struct.Struct("!I")
_BOUND = (
    "ATEN_", "CUDA_", "CUBLAS_", "CUDNN_", "GRAPHFLOW_", "HF_", "HIP_", "HOME", "HSA_", "KMP_", "LD_", "MKL_", "OMP_",
    "OPENBLAS_", "PYTHON", "PYTORCH_", "ROCR_", "TORCH_", "TRANSFORMERS_", "VIRTUAL_ENV", "XDG_", "ZE_",
)  # fmt: skip
"""How variables begin that a process looks at when it starts, or that settings come from."""
_UNBOUND = ("GRAPHFLOW_TRACEBACK", "PYTHONIOENCODING", "XDG_RUNTIME_DIR", VARIABLE)


def place() -> Path:
    """Return the folder of the worker's socket; it belongs to this user alone."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base, "graphflow") if base else Path(tempfile.gettempdir(), f"graphflow-{os.getuid()}")


def installed() -> list[Any]:
    """Return what tells one installation from another: its place, its interpreter, and when its code last changed."""
    package = Path(__file__).parents[1]
    newest = 0
    for folder, folders, files in os.walk(package, followlinks=True):
        folders[:] = [name for name in folders if name not in ("__pycache__", "assets")]
        for name in files:
            if name.endswith(".py"):
                newest = max(newest, os.stat(f"{folder}/{name}").st_mtime_ns)  # noqa: PTH116  # paths take thrice as long
    return [str(package), sys.executable, newest]


def bound(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a worker and its clients must have in common."""
    return {name: value for name, value in environment.items() if name.startswith(_BOUND) and name not in _UNBOUND}


def connect() -> socket.socket | None:
    """Return a connection to the worker; None where there is none."""
    folder = place()
    connection = socket.socket(socket.AF_UNIX)
    try:
        state = folder.lstat()
        if state.st_uid == os.getuid() and not state.st_mode & 0o77:  # else somebody else may listen there
            connection.connect(str(folder / "worker.sock"))
            return connection
    except OSError:
        pass
    connection.close()
    return None


def send(connection: socket.socket, what: Mapping[str, Any], handles: Sequence[int] = ()) -> None:
    """Send a JSON object, and open files with it."""
    data = json.dumps(what).encode()
    socket.send_fds(connection, [_HEAD.pack(len(data))], list(handles))
    connection.sendall(data)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return a JSON object, and the open files that came with it.

    Raises:
        EOFError: The other side has gone.
    """
    head, handles, _, _ = socket.recv_fds(connection, _HEAD.size, 3)
    length = _HEAD.unpack(head + _exactly(connection, _HEAD.size - len(head)))[0]
    return json.loads(_exactly(connection, length)), handles


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def ask(what: Mapping[str, Any]) -> dict[str, Any] | None:
    """Ask the worker something; None where there is none."""
    connection = connect()
    if connection is None:
        return None
    with connection:
        try:
            send(connection, what)
            return receive(connection)[0]
        except (OSError, EOFError):
            return None


def wanted(arguments: Sequence[str]) -> bool:
    """Tell whether a command line is one for the worker."""
    if arguments[:1] != ["run"] or not POSSIBLE or "--help" in arguments or "-h" in arguments:
        return False
    return OPTION in arguments or os.environ.get(VARIABLE, "").lower() in ("1", "true", "yes", "on")


def hand_over(arguments: Sequence[str]) -> int | None:
    """Have the worker run a command; returns its exit code, or None where it does not, which is said."""
    connection = connect()
    if connection is None:
        _say_not("there is no worker; `graphflow worker start` starts one")
        return None
    request = {
        "do": "run",
        "arguments": list(arguments),
        "folder": os.getcwd(),  # noqa: PTH109
        "environment": dict(os.environ),
        "encoding": getattr(sys.stdout, "encoding", None) or "utf-8",
        "installed": installed(),
    }
    with connection:
        try:
            send(connection, request, (0, 1, 2))
            return _followed(connection)
        except (OSError, EOFError):
            _say_not("the worker has gone")
            return None


def _followed(connection: socket.socket) -> int | None:
    """Wait for the end of a command that was handed over, and hand signals on."""
    interrupted = 0

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted += 1
        try:
            connection.send(b"i")
        except OSError:
            os._exit(130)

    before: dict[int, Any] = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if not select.select([connection], [], [], _SHORT)[0]:
            print("waiting for the worker, which is busy", file=sys.stderr)
        begun = False
        while True:
            try:
                told, _ = receive(connection)
            except (OSError, EOFError):
                if not begun:
                    raise
                print(
                    "" if interrupted else "error: the worker has ended", end="\n" * (not interrupted), file=sys.stderr
                )
                return 130 if interrupted else 1
            if "code" in told:
                return int(told["code"])
            if "refused" in told:
                _say_not(told["refused"])
                return None
            begun = True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_not(why: str) -> None:
    print(f"note: {why}; running without it", file=sys.stderr)
