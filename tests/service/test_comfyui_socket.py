"""ComfyUI's websocket: a picture is made, and who asked for it is told as ComfyUI was recorded to tell it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketTestSession

from graphflow import Session, Settings
from graphflow.service.app import Service, make_app
from graphflow.service.comfyui.routes import comfyui_router
from tests.conftest import ROOT

RECORDED = ROOT / "tests" / "data" / "comfyui_api"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("comfyui")
    with Session(Settings.model_validate({"models": (), "cache_dir": folder / "cache"})) as session:
        service = Service(session, folder / "service")
        app = make_app(service, [comfyui_router(service)])
        with TestClient(app, base_url="http://127.0.0.1:8189") as client:
            yield client


def recording(name: str) -> tuple[dict[str, Any], list[Any]]:
    """Return a recorded prompt, of the packaged model, and the messages on it; binary ones as the kind of their frames."""
    recorded = json.loads((RECORDED / f"ws_{name}.json").read_text("utf-8"))
    prompt = recorded["post_prompt"]["request"]["json"]["prompt"]
    prompt["1"]["inputs"]["ckpt_name"] = "shapes"
    told = [
        message["text"] if "text" in message else (message["binary"]["event"], message["binary"]["image_type"])
        for message in recorded["messages"]
    ]
    return prompt, told


def connect(client: TestClient, sid: str) -> AbstractContextManager[WebSocketTestSession]:
    return client.websocket_connect(f"ws://127.0.0.1:8189/ws?clientId={sid}")


def submit(client: TestClient, prompt: dict[str, Any], sid: str) -> str:
    answer = client.post("/prompt", json={"prompt": prompt, "client_id": sid})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["prompt_id"])


def messages(socket: WebSocketTestSession) -> Iterator[Any]:
    """Yield what a socket is told until nothing is executed any more; of binary messages the bytes."""
    while True:
        message = socket.receive()
        if "bytes" in message:
            yield message["bytes"]
            continue
        told = json.loads(message["text"])
        yield told
        if told["type"] == "executing" and told["data"]["node"] is None:
            return


def plain(told: Any) -> Any:
    """Leave out what is drawn, timed or counted on."""
    if isinstance(told, bytes):
        return struct.unpack(">II", told[:8])
    if isinstance(told, dict):
        return {key: plain(value) for key, value in told.items() if key not in ("prompt_id", "timestamp", "sid")}
    if isinstance(told, list):
        return [plain(value) for value in told]
    return "NAME" if isinstance(told, str) and told.startswith("api_0") else told


def test_a_picture_is_told_as_recorded(client: TestClient) -> None:
    for name in ("txt2img_first_run_legacy_preview", "txt2img_seed_changed_cached_nodes", "txt2img_all_cached"):
        prompt, recorded = recording(name)
        with connect(client, "mine") as socket, connect(client, "other") as other:
            id = submit(client, prompt, "mine")
            told = list(messages(socket))
            while other.receive_json()["data"]["status"]["exec_info"]["queue_remaining"]:
                pass  # others are told of the queue alone
        status = client.get(f"/history/{id}").json()[id]["status"]["messages"]
        assert status[1][1]["nodes"] == next(
            it["data"]["nodes"] for it in told if isinstance(it, dict) and it["type"] == "execution_cached"
        )
        assert {it["data"]["prompt_id"] for it in told if isinstance(it, dict) and it["type"] != "status"} == {id}
        ours, theirs = ([plain(it) for it in messages] for messages in (told, recorded))
        if "first_run" in name:  # in which order and beside what its nodes run is the engine's own business
            ours, theirs = (
                sorted(json.dumps(it) for it in messages if not isinstance(it, dict) or it["type"] != "progress_state")
                for messages in (ours, theirs)
            )
        assert ours == theirs


def test_a_client_says_what_it_understands_and_comes_back(client: TestClient) -> None:
    prompt, _ = recording("txt2img_first_run_legacy_preview")
    prompt["5"]["inputs"] |= {"seed": 99, "steps": 1000}
    with connect(client, "mine") as socket:
        assert socket.receive_json()["data"]["sid"] == "mine"
        socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        flags = socket.receive_json()
        assert flags["type"] == "feature_flags" and flags["data"]["supports_preview_metadata"] is True
        id = submit(client, prompt, "mine")
        frame = next(it for it in messages(socket) if isinstance(it, bytes))
        event, length = struct.unpack(">II", frame[:8])
        about = json.loads(frame[8 : 8 + length])
        assert (event, about["node_id"], about["prompt_id"], about["image_type"]) == (4, "5", id, "image/jpeg")
        assert frame[8 + length :].startswith(b"\xff\xd8\xff")
    with connect(client, "mine") as again:
        told = (it for it in messages(again) if isinstance(it, dict))
        assert next(told)["data"]["sid"] == "mine"
        first = next(told)
        assert (first["type"], first["data"]["node"]) == ("executing", "5")
        assert client.post("/interrupt").status_code == 200
        stopped = next(it for it in told if it["type"] == "execution_interrupted")
        assert (stopped["data"]["node_id"], stopped["data"]["node_type"]) == ("5", "KSampler")
        assert [it["type"] for it in told][-2:] == ["status", "executing"]


def test_a_node_is_executed_when_it_ends_and_its_picture_is_there(client: TestClient) -> None:
    prompt, _ = recording("txt2img_first_run_legacy_preview")
    prompt["5"]["inputs"] |= {"seed": 98, "steps": 1000}
    prompt["8"] = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 2, "color": 255}}
    prompt["9"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    with connect(client, "mine") as socket:
        id = submit(client, prompt, "mine")
        told = (it for it in messages(socket) if isinstance(it, dict))
        given = next(it["data"] for it in told if it["type"] == "executed")
        assert given["node"] == "9" and len(given["output"]["images"]) == 2
        assert id in [job[1] for job in client.get("/queue").json()["queue_running"]]
        for image in given["output"]["images"]:
            assert client.get("/view", params=image).content.startswith(b"\x89PNG")
        assert client.post("/interrupt").status_code == 200
        assert "executed" not in [it["type"] for it in told]
    assert (
        client.get("/view", params=given["output"]["images"][0]).status_code == 404
    )  # files of what failed do not stay


def test_pictures_come_through_the_socket(client: TestClient) -> None:
    prompt, _ = recording("txt2img_first_run_legacy_preview")
    prompt["7"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["6", 0]}}
    with connect(client, "mine") as socket:
        submit(client, prompt, "mine")
        current, pictures = None, []
        for told in messages(socket):  # as ComfyUI's own example for clients takes them
            if isinstance(told, bytes):
                pictures += [told[8:]] if current == "7" else []
            elif told["type"] == "executing":
                current = told["data"]["node"]
    assert [picture[:4] for picture in pictures] == [b"\x89PNG"]


@pytest.mark.parametrize(
    "said", ["", "{", '{"type": "feature_flags"}', '{"type": "feature_flags", "data": []}', "[" * 5000]
)
def test_what_a_client_says_wrongly_is_passed_over(client: TestClient, said: str) -> None:
    with connect(client, "x" * 5000) as socket:
        assert len(socket.receive_json()["data"]["sid"]) < 200
        socket.send_text(said)
        socket.send_json({"type": "feature_flags", "data": {}})
        while socket.receive_json()["type"] != "feature_flags":
            pass


def test_a_client_without_a_name_is_given_one(client: TestClient) -> None:
    with client.websocket_connect("ws://127.0.0.1:8189/api/ws") as one, connect(client, "") as two:
        names = {socket.receive_json()["data"]["sid"] for socket in (one, two)}
    assert len(names) == 2 and all(len(name) == 32 for name in names)
