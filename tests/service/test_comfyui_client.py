"""A client of ComfyUI that other people wrote gets its pictures from a service that listens."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from PIL import Image

from graphflow import Session, Settings
from graphflow.service.app import Service, make_app
from graphflow.service.comfyui.routes import comfyui_router
from graphflow.service.options import ServiceOptions
from graphflow.service.serving import listen
from tests.conftest import ROOT

RECORDED = ROOT / "tests" / "data" / "comfyui_api" / "ws_txt2img_first_run_legacy_preview.json"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("client")
    with Session(Settings.model_validate({"models": (), "cache_dir": folder / "cache"})) as session:
        service = Service(
            session, folder / "service", ServiceOptions(previews=False)
        )  # it takes any picture for the result
        config = uvicorn.Config(make_app(service, [comfyui_router(service)]), log_level="warning")
        server = uvicorn.Server(config)
        with listen("127.0.0.1", 0) as listening:
            serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            serving.start()
            while not server.started:
                assert serving.is_alive()
                time.sleep(0.01)
            yield ComfyApiWrapper(f"http://127.0.0.1:{listening.getsockname()[1]}/")
            server.should_exit = True
            serving.join()


def test_pictures_are_made_sent_and_read_again(client: Any, tmp_path: Path) -> None:
    prompt = json.loads(RECORDED.read_text("utf-8"))["post_prompt"]["request"]["json"]["prompt"]
    (tmp_path / "prompt.json").write_text(json.dumps(prompt), "utf-8")
    workflow = ComfyWorkflowWrapper(tmp_path / "prompt.json")
    workflow.set_node_param("CheckpointLoaderSimple", "ckpt_name", "shapes")
    workflow.set_node_param("KSampler", "seed", 7)
    ((name, picture),) = client.queue_and_wait_images(workflow, "SaveImage").items()
    with Image.open(io.BytesIO(picture)) as made:
        assert (name, made.format, made.size) == ("api_00001_.png", "PNG", (64, 64))
        made.save(tmp_path / "sent.png")
        sent = client.upload_image(str(tmp_path / "sent.png"), subfolder="mine")
        nodes = {
            "1": {"class_type": "LoadImage", "inputs": {"image": f"{sent['subfolder']}/{sent['name']}"}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "copy"}},
        }
        copy = {id: {**node, "_meta": {"title": node["class_type"]}} for id, node in nodes.items()}
        (again,) = client.queue_and_wait_images(copy, "SaveImage").values()
        with Image.open(io.BytesIO(again)) as read:
            assert read.convert("RGB").tobytes() == made.convert("RGB").tobytes()
    assert client.get_queue() == {"queue_running": [], "queue_pending": []}
    assert client.get_object_info("KSampler")["KSampler"]["output"] == ["LATENT"]
    assert client.get_system_stats()["devices"]
