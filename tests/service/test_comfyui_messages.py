"""What ComfyUI's websocket tells, compared with what it was recorded to tell of the same runs."""

from __future__ import annotations

import asyncio
import io
import json
import struct
from collections.abc import Iterator
from typing import Any, cast

import pytest
import torch
from PIL import Image
from starlette.websockets import WebSocket

from graphflow import events
from graphflow.jobs.previews import jpeg
from graphflow.service.comfyui.messages import Preview, Telling
from graphflow.service.comfyui.socket import Client
from tests.conftest import ROOT

RECORDED = ROOT / "tests" / "data" / "comfyui_api"
PICTURE = torch.full((1, 3, 8, 8), 0.5)
DRAWN = {"prompt_id", "timestamp"}


def recording(name: str) -> dict[str, Any]:
    return json.loads((RECORDED / f"ws_{name}.json").read_text("utf-8"))  # type: ignore[no-any-return]


def what_was_told(recorded: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the messages on the prompt; a preview as the kind of its frame."""
    for message in recorded["messages"]:
        if "binary" in message:
            yield {"binary": (message["binary"]["event"], message["binary"]["image_type"])}
        elif message["text"]["type"] not in ("status", "feature_flags"):
            yield message["text"]


def events_of(recorded: dict[str, Any]) -> Iterator[events.Event]:
    """Yield the events of a run in which the nodes began, stepped and wrote as recorded, and every node is one here."""
    prompt = recorded["post_prompt"]["request"]["json"]["prompt"]
    told = [message["text"] for message in recorded["messages"] if "text" in message]
    (stored,) = (message["data"]["nodes"] for message in told if message["type"] == "execution_cached")
    actions = {
        id: "write" if node["class_type"] == "SaveImage" else "cached" if id in stored else "run"
        for id, node in prompt.items()
    }
    yield events.RunStarted(run=0, cached=0, write=0, actions=actions)
    running = None
    for message in told:
        data, type = message["data"], prompt.get(message["data"].get("node"), {}).get("class_type", "")
        if message["type"] == "executing":
            if running is not None and not any(
                it["type"].startswith(("execution_err", "execution_int")) for it in told
            ):
                yield events.NodeFinished(node=running, type="", seconds=0.0)
            running = data["node"]
            if running is not None:
                yield events.NodeStarted(node=running, type=type)
        elif message["type"] == "progress":
            yield events.NodeProgress(node=data["node"], step=data["value"], total=data["max"], preview=PICTURE)
        elif message["type"] == "executed":
            if running is not None:
                yield events.NodeFinished(node=data["node"], type=type, seconds=0.0)
            yield events.Written(node=data["node"], path="a.png", how="written", files=2)
            yield events.Written(node=data["node"], path="b.png", how="written", files=2)
            running = None


def comparable(message: Any) -> Any:
    """Leave out what is drawn or timed."""
    if isinstance(message, Preview):
        frame = message.frame(jpeg(message.picture), metadata=False)
        return {"binary": struct.unpack(">II", frame[:8])}
    if isinstance(message, dict):
        return {name: comparable(value) for name, value in message.items() if name not in DRAWN}
    return sorted(message) if isinstance(message, list) and all(isinstance(it, str) for it in message) else message


@pytest.mark.parametrize(
    "name",
    [path.stem.removeprefix("ws_") for path in sorted(RECORDED.glob("ws_*.json"))],
)
def test_a_run_is_told_as_recorded(name: str) -> None:
    recorded = recording(name)
    prompt = recorded["post_prompt"]["request"]["json"]["prompt"]
    (sent,) = recorded["history"]["body"].values()

    def shows(id: str, files: Any, texts: Any) -> Any:
        return (sent["outputs"][id] if files == {id: ["a.png", "b.png"]} else {}), ()

    telling = Telling("it", prompt, sent["prompt"][4], {id: [id] for id in prompt}, shows)
    told = telling.begin()
    for event in events_of(recorded):
        told += telling.take(event)
    type, data = sent["status"]["messages"][-1]
    executed = [
        message["data"]["node"] for message in told if isinstance(message, dict) and message["type"] == "executed"
    ]
    assert executed == list(sent["outputs"])  # before the end
    told += telling.end(sent["outputs"], {"type": type, "data": data})
    told.append(telling.executing())
    assert [comparable(message) for message in told] == [comparable(message) for message in what_was_told(recorded)]


def test_a_preview_has_the_recorded_form() -> None:
    recorded = (RECORDED / "txt2img_first_run_legacy_preview.preview0.bin").read_bytes()
    preview = Preview(PICTURE, "5", "it")
    legacy = preview.frame(jpeg(PICTURE), metadata=False)
    assert legacy[:12] == recorded[:12]  # event, kind of picture, the first bytes of a JPEG file
    assert Image.open(io.BytesIO(legacy[8:])).format == "JPEG"
    framed = preview.frame(jpeg(PICTURE), metadata=True)
    event, length = struct.unpack(">II", framed[:8])
    told = json.loads(framed[8 : 8 + length])
    assert event == 4 and told["image_type"] == "image/jpeg" and framed[8 + length :] == legacy[8:]
    assert {told[name] for name in ("node_id", "display_node_id", "real_node_id")} == {"5"} and told[
        "prompt_id"
    ] == "it"


def test_nodes_that_are_several_or_none_here_are_told_as_the_prompts() -> None:
    """1 loads, 2 is fused into 3, 3 is computed by two native nodes, 4 has nothing to compute, 5 nobody needs."""
    links = {"1": [], "2": ["1"], "3": ["2"], "4": ["3"], "5": ["1"]}
    prompt = {
        id: {"class_type": f"T{id}", "inputs": {f"x{before}": [before, 0] for before in ids}}
        for id, ids in links.items()
    }
    origins = {"a": ["1"], "b": ["3", "2"], "c": ["3"], "guard": [], "w": ["4"]}
    telling = Telling("it", prompt, ["4"], origins)
    actions = {"a": "skipped", "b": "run", "c": "run", "guard": "run", "w": "skipped"}
    (cached,) = telling.take(events.RunStarted(run=3, cached=0, write=0, actions=actions))
    assert isinstance(cached, dict) and cached["data"]["nodes"] == ["1", "4"]
    told = []
    for native in ("b", "guard", "c"):
        for event in (
            events.NodeStarted(node=native, type=""),
            events.NodeFinished(node=native, type="", seconds=0.0, element=0, elements=2),
            events.NodeFinished(node=native, type="", seconds=0.0, element=1, elements=2),
        ):
            for message in telling.take(event):
                assert isinstance(message, dict)
                nodes = message["data"].get("nodes", {})
                told.append(message["data"].get("node") or {id: it["state"] for id, it in nodes.items()})
    assert told == [
        {"2": "running"}, "2", {"2": "finished"},
        {"2": "finished", "3": "running"}, "3", {"2": "finished", "3": "finished"},
    ]  # fmt: skip


def test_a_slow_client_is_told_the_newest_state_alone() -> None:
    class Slow:
        """A websocket whose client reads when it is let."""

        def __init__(self) -> None:
            self.reads, self.read = asyncio.Event(), list[dict[str, Any]]()

        async def send_text(self, text: str) -> None:
            await self.reads.wait()
            self.read.append(json.loads(text))

    async def run(told: int) -> tuple[list[dict[str, Any]], bool]:
        socket, client = Slow(), Client("it", asyncio.get_running_loop())
        sending = asyncio.create_task(client.send(cast("WebSocket", socket)))
        for number in range(told):
            client.tell([state(number, type) for type in ("progress_state", "progress")])
        client.tell([state(told, "progress_state")])
        await asyncio.sleep(0.01)
        socket.reads.set()
        await asyncio.sleep(0.1)
        sending.cancel()
        return socket.read, client.lost.is_set()

    def state(number: int, type: str) -> dict[str, Any]:
        return {"type": type, "data": {"prompt_id": "it", "number": number}}

    read, lost = asyncio.run(run(1000))
    states = [it["data"]["number"] for it in read if it["type"] == "progress_state"]
    assert not lost and states[-1] == 1000 and states == sorted(states) and len(states) < 50
    assert [it["data"]["number"] for it in read if it["type"] == "progress"] == list(range(1000))
    assert asyncio.run(run(10_000))[1]  # one that reads nothing at all is let go
