"""OpenAI's own client, and what the service makes of its requests."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image
from starlette.testclient import TestClient

from graphflow.service.app import Service, make_app
from graphflow.service.native import native_router
from graphflow.service.openai import openai_router
from graphflow.service.options import ServiceOptions
from graphflow.session import Session
from graphflow.settings import Settings

ADDRESS = "http://127.0.0.1:8189"
QUICK: dict[str, Any] = {"inputs": {"steps": 1}}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("openai")
    settings = Settings.model_validate(
        {"models": (), "cache_dir": folder / "cache", "device": "cpu", "offline": True, "safety": "off"}
    )
    with Session(settings) as session:
        service = Service(session, folder / "service", ServiceOptions())
        app = make_app(service, [native_router(service), openai_router(service)])
        with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
            yield client


@pytest.fixture(scope="module")
def client(web: TestClient) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{ADDRESS}/v1", api_key="any", http_client=web, max_retries=0)


def pixels(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_pictures_are_generated_with_seeds_that_follow_each_other(web: TestClient, client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "txt2img", "prompt": "a red circle", "size": "64x48"}
    pair = client.images.generate(**asked, n=2, extra_body={"seed": 4, **QUICK})
    first, second = (pixels(base64.b64decode(picture.b64_json or "")) for picture in pair.data or ())
    assert first.size == (64, 48) and first.tobytes() != second.tobytes()
    again = client.images.generate(**asked, response_format="url", extra_body={"seed": 5, **QUICK})
    assert again.data
    assert pixels(web.get(again.data[0].url or "").content).tobytes() == second.tobytes()


def test_a_picture_is_edited_where_its_mask_is_transparent(client: openai.OpenAI) -> None:
    image, mask = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (64, 64), "blue").save(image, "PNG")
    cover = Image.new("RGBA", (64, 64), "black")
    cover.paste((0, 0, 0, 0), (32, 0, 64, 64))
    cover.save(mask, "PNG")
    sent = ("a.png", image.getvalue())
    answer = client.images.edit(
        model="inpaint", image=sent, mask=("m.png", mask.getvalue()), prompt="a red circle",
        extra_body={"seed": "1", "inputs": '{"steps": 2, "strength": 1}'},
    )  # fmt: skip
    assert answer.data
    made = pixels(base64.b64decode(answer.data[0].b64_json or ""))
    blue = Image.new("RGB", made.size, "blue")
    far = [
        max(
            max(abs(a - b) for a, b in zip(made.getpixel((x, y)), blue.getpixel((x, y)), strict=True))
            for y in range(64)
        )
        for x in (8, 56)
    ]
    assert far[0] < far[1], far
    with pytest.raises(openai.BadRequestError, match="no transparency"):
        client.images.edit(model="inpaint", image=sent, mask=sent, prompt="a")
    with pytest.raises(openai.BadRequestError, match="no picture, video"):
        client.images.edit(model="img2img", image=("a.png", b"<svg onload=alert(1)>"), prompt="a")


@pytest.mark.parametrize(
    ("asked", "param", "message"),
    [
        ({"model": "txt2imgg"}, None, "did you mean 'txt2img'"),
        ({"model": "../txt2img"}, None, "no ready-made workflow"),
        ({"model": "upscale"}, "prompt", "takes no prompt"),
        ({"model": "img2img", "size": "64x64"}, "size", "takes no width"),
        ({"size": "64"}, "size", "pattern"),
        ({"n": 11}, "n", "10"),
        ({"background": "transparent"}, "background", "auto"),
        ({"extra_body": {"inputs": {"seed": 1}}}, "seed", "field of its own"),
        ({"extra_body": {"inputs": {"stepps": 1}}}, "stepps", "takes no stepps"),
        ({"extra_body": {"inputs": {"image": "/etc/passwd"}}}, "image", "takes no image"),
        ({"extra_body": {"inputs": {"steps": "many"}}}, None, "steps"),
        ({"size": "9999x9999"}, None, "pixels that this service makes"),
    ],
)
def test_what_cannot_be_done_is_refused(
    client: openai.OpenAI, asked: dict[str, Any], param: str | None, message: str
) -> None:
    with pytest.raises(openai.BadRequestError) as told:
        client.images.generate(**{"model": "txt2img", "prompt": "a", **asked})
    body: Any = told.value.body
    assert message in body["message"] and body["type"] == "invalid_request_error"
    if param:
        assert body["param"] == param


def test_a_workflow_reads_uploads_alone(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(path)
    for name in (str(path), "../" * 12 + str(path).lstrip("/")):
        with pytest.raises(openai.BadRequestError, match="leads out of"):
            client.images.generate(model="img2img", prompt="a", extra_body={"inputs": {"image": name, "steps": 1}})
