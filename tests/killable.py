"""A service over the toy nodes in processes that may be killed: ``python -m tests.killable FOLDER``.

It imports once and listens once. For each line that it reads it starts a process that answers, and says its id once it does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from graphflow.service.app import Service, make_app
from graphflow.service.native import native_router
from graphflow.service.options import ServiceOptions
from graphflow.service.serving import listen, serve
from tests.conftest import ToySession


def main() -> None:
    folder = Path(sys.argv[1])
    ToySession(folder).fresh().validate({"graphflow": 2, "nodes": {}})  # imports what the first request does
    listening = listen("127.0.0.1", 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    print(listening.getsockname()[1], flush=True)
    for _ in sys.stdin:
        if os.fork() == 0:
            try:
                answer(folder, listening)
            finally:
                os._exit(0)


def answer(folder: Path, listening: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    service = Service(ToySession(folder).fresh(), folder / "service", ServiceOptions(rate=0))
    serve(make_app(service, [native_router(service)]), listening, lambda _: print(os.getpid(), flush=True))


if __name__ == "__main__":
    main()
