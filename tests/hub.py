"""A server on this machine that answers as the Hub does, and as any other host."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import graphflow

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIPELINE = Path(graphflow.__file__).parent / "assets" / "shapes"


class Hub:
    """A repository `tester/shapes`, and whatever else is put on it; remembers what was fetched.

    Attributes:
        files: Of the repository, by path.
        others: What other addresses give, by path.
        moved: Where other addresses lead on to, by path.
        fetched: The files that were fetched, in order; with `@N` where they were taken up at byte N.
        breaks: After how many bytes an answer breaks off; None: never.
    """

    def __init__(self) -> None:
        self.files = {str(path.relative_to(PIPELINE)): path for path in sorted(PIPELINE.rglob("*")) if path.is_file()}
        self.others: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.fetched: list[str] = []
        self.breaks: int | None = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *arguments: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.answer()

            def do_GET(self) -> None:
                self.answer()

            def answer(self) -> None:
                path = self.path.partition("?")[0].strip("/")
                if path.startswith("api/models/tester/shapes/tree/"):
                    tree = [
                        {"type": "file", "path": name, "size": file.stat().st_size, "oid": "0" * 40}
                        for name, file in hub.files.items()
                    ]
                    self.send(json.dumps(tree).encode(), {"Content-Type": "application/json"})
                    return
                if path.startswith("api/models/tester/shapes"):
                    about = {
                        "id": "tester/shapes",
                        "sha": COMMIT,
                        "private": False,
                        "tags": [],
                        "siblings": [hub.about("big.safetensors"), *map(hub.about, hub.files)],
                    }
                    self.send(json.dumps(about).encode(), {"Content-Type": "application/json"})
                    return
                if path in hub.moved:
                    self.send(b"", {"Location": hub.moved[path]}, status=302)
                    return
                name = path.removeprefix(f"tester/shapes/resolve/{COMMIT}/")
                if name not in hub.files and name not in hub.others:
                    self.send(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404)
                    return
                data = hub.others[name] if name in hub.others else hub.files[name].read_bytes()
                wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=")
                begin, end = (int(part or len(data) - 1) for part in wanted.split("-"))
                if self.command == "GET" and end:  # one byte is a question for the size
                    hub.fetched.append(f"{name}@{begin}" if begin else name)
                headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
                if "Range" in self.headers:
                    headers["Content-Range"] = f"bytes {begin}-{end}/{len(data)}"
                self.send(data[begin : end + 1], headers, status=206 if "Range" in self.headers else 200)

            def send(self, data: bytes, headers: dict[str, str], status: int = 200) -> None:
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data[: hub.breaks])
                    if hub.breaks is not None and len(data) > hub.breaks:
                        self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def about(self, name: str) -> dict[str, object]:
        """What the Hub's API says of a file."""
        data = self.files[name].read_bytes() if name in self.files else b""
        about: dict[str, object] = {"rfilename": name, "size": len(data)}
        if name.endswith(".safetensors"):
            about["lfs"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 134}
        return about

    def __enter__(self) -> Hub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def running_hub() -> Iterator[Hub]:
    """Start one; where there is no network, not even within this machine, the test is skipped."""
    with Hub() as running:
        try:
            socket.create_connection(("127.0.0.1", running.server.server_port), timeout=60).close()
        except OSError as error:
            pytest.skip(f"no network, not even within this machine: {error}")
        yield running


def graphflow_with(hub: Hub, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, since the Hub's library reads its settings when imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "GRAPHFLOW_"))}
    environment |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "GRAPHFLOW_CACHE_DIR": str(folder / "cache"),
        "GRAPHFLOW_HUB_CACHE": str(folder / "elsewhere"),
        "GRAPHFLOW_DEVICE": "cpu",
    }
    line = [sys.executable, "-m", "graphflow.cli", *arguments]
    return subprocess.run(
        line, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=folder, check=False, timeout=300
    )
