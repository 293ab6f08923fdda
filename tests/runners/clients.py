"""Has other people's clients of ComfyUI make a picture with `graphflow serve`: SDKs, comfy-cli, ComfyUI's own front end.

Each is a program of its own in an environment of its own, `build/runners/clients`, for which the package indexes are asked once;
JavaScript wants node and npm, the front end Chromium (Debian's package `chromium`). None of it is part of graphflow. A part is
good where the client gets the picture. Two minutes on two cores.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from tests.runners.parts import KEPT, Given, Results, Runner, main

SIZE = 64
PROMPT = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "shapes"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red circle", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["1", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": SIZE, "height": SIZE, "batch_size": 1}},
    "5": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0],
            "seed": 1, "steps": 24, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
        },
    },
    "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
    "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "client"}},
}  # fmt: skip

# Each program gets the address, the file of the prompt, and the file for its picture.
_PYTHON = """
import asyncio, io, json, subprocess, sys, urllib.request
address, file, out = sys.argv[1:]
prompt = json.load(open(file))
def keep(data): open(out, "wb").write(data)
def fetch(url): keep(urllib.request.urlopen(url).read())
"""
PYTHON = {
    "comfy-api-simplified": """
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
api, workflow = ComfyApiWrapper(f"http://{address}/"), ComfyWorkflowWrapper(file)
workflow.set_node_param("KSampler", "steps", 5)
(picture,) = api.queue_and_wait_images(workflow, "SaveImage").values()
keep(picture)
assert "KSampler" in api.get_object_info() and api.get_system_stats() and not api.get_queue()["queue_running"]
assert api.upload_image(out, subfolder="sent")["subfolder"] == "sent"
""",
    "comfyui-workflow-client": """
from comfyuiclient import ComfyUIClient
client = ComfyUIClient(address, file)
client.connect()
client.set_data("KSampler", seed=2)
client.generate(["SaveImage"])["SaveImage"].save(out)
""",
    "comfy-ui-client": """
from comfy_ui_client.client import ComfyUIClient
client = ComfyUIClient(address)
client.connect()
(named,) = client.get_outputs(prompt)["images"]["7"]["output"].values()
keep(*named.values())
""",
    "comfyui-utils": """
from comfyui_utils import comfy
api, seen = comfy.ComfyAPI(address), []
async def taken(picture): keep(picture.read())
class Callbacks(comfy.Callbacks):
    async def queue_position(self, position): pass
    async def in_progress(self, node, done, total): seen.append(done)
    async def completed(self, outputs, cached): await api.fetch(outputs["images"][0], taken)
asyncio.run(api.submit(prompt, Callbacks()))
assert seen
""",
    "comfyui-async-api-tool": """
import aiohttp
from comfyui_async_api_tool import ComfyClient
async def run():
    async with aiohttp.ClientSession() as session:
        async for event in ComfyClient(session, f"http://{address}").run(prompt):
            if event["type"] == "image":
                keep(event["data"])
asyncio.run(run())
""",
    "comfykit": """
from comfykit import ComfyKit
for kind in ("http", "websocket"):
    result = asyncio.run(ComfyKit(comfyui_url=f"http://{address}", executor_type=kind).execute(file))
    assert result.status == "completed", result
fetch(result.images[0])
""",
    "comfyui-xy": """
from comfyui_xy.client import ComfyUiClient
(answer,) = ComfyUiClient(f"http://{address}").process_workflow(prompt, execution_timeout=60)
answer.save(out)
""",
    "comfy-toolkit": """
from comfy_toolkit import ComfyClient
client = ComfyClient(f"http://{address}")
assert client.is_online() and client.vram_stats() and client.queue_status() == {"running": 0, "pending": 0}
keep(client.download(client.submit_and_track(prompt)["images"][0]))
""",
    "comfy-cli": """
host, port = address.split(":")
command = [sys.executable, "-m", "comfy_cli", "--skip-prompt", "--json", "run", "--workflow", file, "--wait"]
told = subprocess.run([*command, "--host", host, "--port", port], capture_output=True, text=True, check=True).stdout
fetch(json.loads(told.strip().splitlines()[-1])["data"]["outputs"][0])
""",
}
_JAVASCRIPT = """
import fs from "fs";
const [address, file, out] = process.argv.slice(2);
const prompt = JSON.parse(fs.readFileSync(file));
const keep = (data) => fs.writeFileSync(out, Buffer.from(data));
const fetched = async (url) => keep(await (await fetch(url)).arrayBuffer());
"""
JAVASCRIPT = {
    "@stable-canvas/comfyui-client": """
import WebSocket from "ws";
import { Client } from "@stable-canvas/comfyui-client";
const client = new Client({ api_host: address, WebSocket, fetch });
await client.connect();
const { images } = await client.enqueue(prompt, { progress: () => {} });
await fetched(images.at(-1).data);
client.close();
""",
    "@saintno/comfyui-sdk": """
import { CallWrapper, ComfyApi, PromptBuilder } from "@saintno/comfyui-sdk";
const api = new ComfyApi(`http://${address}`);
await api.init().waitForReady();
const workflow = new PromptBuilder(prompt, ["seed"], ["images"]).setInputNode("seed", "5.inputs.seed").setOutputNode("images", "7");
const seen = [];
const call = new CallWrapper(api, workflow.input("seed", 1000)).onProgress((it) => seen.push(it.value)).onPreview((it) => seen.push(it));
const given = await call.run();
if (seen.length < 8) throw new Error("progress or previews are missing");
await fetched(api.getPathImage(given.images.images[0]));
process.exit(0);
""",
    "comfy-ui-client": """
import { ComfyUIClient } from "comfy-ui-client";
const client = new ComfyUIClient(address, "runner");
await client.connect();
const images = await client.getImages(prompt);
keep(await images["7"][0].blob.arrayBuffer());
process.exit(0);
""",
}
FRONT = "comfyui-frontend-package"
BROWSER = """
import pathlib, shutil
from playwright.sync_api import sync_playwright
def is_picture(answer): return "/view?" in answer.url and answer.status == 200
settings = json.dumps({"Comfy.TutorialCompleted": True}).encode()  # else templates are shown first
told = urllib.request.Request(f"http://{address}/api/settings", settings, {"content-type": "application/json"})
urllib.request.urlopen(told)
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
    page = browser.new_page(viewport={"width": 2400, "height": 1200})
    previews, errors = [], []
    page.on("websocket", lambda it: it.on("framereceived", lambda frame: previews.append(frame) if isinstance(frame, bytes) else None))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"http://{address}/", wait_until="load")
    page.wait_for_function("window.app?.graph && window.app.extensionManager", timeout=60_000)
    page.get_by_role("button", name="Run", exact=True).first.wait_for(timeout=60_000)
    page.wait_for_timeout(5000)  # it opens a workflow of its own first
    page.evaluate("prompt => window.app.loadApiJson(prompt, 'runner')", prompt)
    with page.expect_response(is_picture, timeout=120_000) as shown:
        page.get_by_role("button", name="Run", exact=True).first.click()
    keep(shown.value.body())
    page.wait_for_timeout(1000)
    page.screenshot(path=str(pathlib.Path(out).with_name("page.png")))
    assert previews and not errors, errors
    browser.close()
"""
TAKES_ANY_PICTURE = ("comfy-api-simplified", "comfyui-utils")
"""Clients that know no previews."""

PARTS = (
    *(f"python/{name}" for name in PYTHON),
    *(f"javascript/{name}" for name in JAVASCRIPT),
    f"browser/{FRONT}",
)


class Environment:
    """Where the clients are installed.

    Args:
        folder: It.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "python" / "bin" / "python"

    def install(self, *packages: str) -> None:
        """Install Python packages that are not there yet."""
        if not self.python.exists():
            venv.create(self.folder / "python", with_pip=True)
        missing = [
            name
            for name in packages
            if subprocess.run([self.python, "-m", "pip", "show", "-q", name], capture_output=True).returncode
        ]
        if missing:
            subprocess.run([self.python, "-m", "pip", "install", "-q", *missing], check=True)

    def command(self, part: str) -> list[str | Path]:
        """Return the command of a client, which is installed."""
        kind, _, name = part.partition("/")
        place = self.folder / re.sub(r"\W+", "_", part)
        if kind == "javascript":
            place = self.folder / f"{place.name}.mjs"
            place.write_text(_JAVASCRIPT + JAVASCRIPT[name], "utf-8")
            if not (self.folder / "node_modules" / name).exists():
                subprocess.run(["npm", "install", "--silent", "--no-fund", name, "ws"], cwd=self.folder, check=True)
            return ["node", place]
        place = place.with_suffix(".py")
        self.install(*((FRONT, "playwright") if kind == "browser" else (name,)))
        place.write_text(_PYTHON + (BROWSER if kind == "browser" else PYTHON[name]), "utf-8")
        return [self.python, place]

    def front(self) -> Path:
        """Return the folder of ComfyUI's front end."""
        self.install(FRONT)
        (found,) = self.folder.glob("python/lib/python*/site-packages/comfyui_frontend_package/static")
        return found


@contextmanager
def serving(*options: str | Path) -> Iterator[str]:
    """Start a service; gives its address."""
    with TemporaryDirectory() as data:
        command = [sys.executable, "-m", "graphflow.cli", "serve", "--port", "0", "--data", data, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield process.stdout.readline().strip().removeprefix("http://")
            finally:
                process.terminate()


def run(parts: Sequence[str], given: Given) -> Iterator[tuple[str, Any]]:
    """Run each client with one of two services: one sends previews, the other none."""
    environment = Environment(KEPT / "clients")
    environment.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        front = (
            ("--comfyui-frontend", environment.front()) if any(part.startswith("browser/") for part in parts) else ()
        )
        address = stack.enter_context(serving(*front))
        plain = stack.enter_context(serving("--no-previews"))
        for number, part in enumerate(parts):
            yield (
                part,
                {"said": _tried(environment, part, plain if part.endswith(TAKES_ANY_PICTURE) else address, number)},
            )


def _tried(environment: Environment, part: str, address: str, seed: int) -> str:
    """Have a client make a picture that nobody has made yet; returns what is wrong, or nothing."""
    prompt, out = environment.folder / "prompt.json", environment.folder / "picture.png"
    inputs: Any = PROMPT["5"]["inputs"]
    titled = {id: {**node, "_meta": {"title": node["class_type"]}} for id, node in PROMPT.items()}
    prompt.write_text(json.dumps({**titled, "5": {**titled["5"], "inputs": {**inputs, "seed": seed}}}), "utf-8")
    out.unlink(missing_ok=True)
    try:
        command = [*environment.command(part), address, prompt, out]
        ran = subprocess.run(command, cwd=environment.folder, capture_output=True, text=True, timeout=120)
    except (subprocess.SubprocessError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    if ran.returncode or not out.exists():
        return f"exit code {ran.returncode}: {ran.stdout[-600:]} {ran.stderr[-1200:]}"
    with Image.open(out) as picture:
        return "" if (picture.format, picture.size) == ("PNG", (SIZE, SIZE)) else f"{picture.format} {picture.size}"


def _write(results: Results, given: Given) -> None:
    good = sum(not result["said"] for result in results.values())
    print(f"{good} of {len(results)} clients get their picture")


RUNNER = Runner(
    name="clients",
    about=__doc__,
    parts=PARTS,
    run=run,
    ok=lambda result: not result["said"],
    line=lambda result: re.sub(r"\s+", " ", result["said"])[-700:] or "its picture",
    report=_write,
)

if __name__ == "__main__":
    sys.exit(main(RUNNER))
