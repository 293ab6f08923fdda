"""Models from the Hub, from a local server that answers as the Hub does."""

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
from graphflow.library.download import wanted_files

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIPELINE = Path(graphflow.__file__).parent / "assets" / "shapes"


class Hub:
    """A repository `tester/shapes` on a server of its own; remembers which files were fetched."""

    def __init__(self) -> None:
        self.files = {str(path.relative_to(PIPELINE)): path for path in sorted(PIPELINE.rglob("*")) if path.is_file()}
        self.fetched: list[str] = []
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
                        "siblings": [{"rfilename": name} for name in ("big.safetensors", *hub.files)],
                    }
                    self.send(json.dumps(about).encode(), {"Content-Type": "application/json"})
                    return
                name = path.removeprefix(f"tester/shapes/resolve/{COMMIT}/")
                if name not in hub.files:
                    self.send(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404)
                    return
                data = hub.files[name].read_bytes()
                if self.command == "GET":
                    hub.fetched.append(name)
                self.send(data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT})

            def send(self, data: bytes, headers: dict[str, str], status: int = 200) -> None:
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub() -> Iterator[Hub]:
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


def test_a_model_is_fetched_when_it_is_first_used(hub: Hub, tmp_path: Path) -> None:
    arguments = ("txt2img", "-i", "model=tester/shapes", "-i", "steps=1")
    planned = graphflow_with(hub, tmp_path, "plan", *arguments)
    assert planned.returncode == 0, planned.stderr
    assert "downloaded when it is first used" in planned.stdout
    assert hub.fetched == []
    ran = graphflow_with(hub, tmp_path, "run", *arguments, "--quiet")
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()).suffix == ".png"
    assert set(hub.fetched) == {name for name in hub.files if not name.endswith(".md")}
    assert list((tmp_path / "elsewhere").glob("models--tester--shapes/snapshots/*"))
    again = graphflow_with(hub, tmp_path, "plan", *arguments, "--offline", "--json")
    assert again.returncode == 0, again.stderr
    steps = {step["node"]: step for step in json.loads(again.stdout)["steps"]}
    assert steps["checkpoint"]["files"][0]["fingerprint"] == f"hub:tester/shapes@{COMMIT}"


def test_a_model_that_the_hub_does_not_have(hub: Hub, tmp_path: Path) -> None:
    ran = graphflow_with(hub, tmp_path, "run", "txt2img", "-i", "model=tester/squares")
    assert ran.returncode != 0
    assert "tester/squares" in ran.stderr and "cannot be downloaded" in ran.stderr and "Traceback" not in ran.stderr


def test_one_set_of_weights_is_fetched() -> None:
    listing = [
        "README.md",
        "model_index.json",
        "v1-5-pruned.safetensors",
        "v1-5-pruned.ckpt",
        "unet/config.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
        "text_encoder/model.fp16-00001-of-00001.safetensors",
        "text_encoder/model.safetensors.index.fp16.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
    ]
    assert wanted_files(listing) == {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
        "text_encoder/model.fp16-00001-of-00001.safetensors",
        "text_encoder/model.safetensors.index.fp16.json",
        "tokenizer/merges.txt",
    }
    assert wanted_files(["config.json", "model.safetensors", "lora.safetensors"]) == {
        "config.json",
        "model.safetensors",
        "lora.safetensors",
    }
