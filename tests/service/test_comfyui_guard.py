"""What a stranger's page, name, file or prompt cannot do by ComfyUI's interface; each class of attack that others had."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.routing import BaseRoute, Mount, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from graphflow import Settings
from graphflow.errors import InvalidInputError
from graphflow.service.app import Service, make_app
from graphflow.service.comfyui.frontend import FrontEnd
from graphflow.service.comfyui.routes import comfyui_router
from graphflow.service.native import native_router
from graphflow.service.openai import openai_router
from graphflow.service.options import ServiceOptions
from graphflow.session import Session

SECRET = b"the secret of this machine"
ANSWERS = (200, 204)
NAMES = (
    "../secret.png", "..%2fsecret.png", "%2e%2e/secret.png", "..\\secret.png", "....//secret.png", "a/../../secret.png",
    "/etc/passwd", "//etc/passwd", "C:\\secret.png", "C:secret.png", "\\\\host\\share\\secret.png", "secret.png::$DATA",
    "secret.png\0.png", "secret.png%00.png", "link.png", "folder/secret.png", "jobs.sqlite", "comfyui.sqlite", "token", ".", "..",
    " ", "a" * 300, "CON", "\u2025/secret.png", "..\u2215secret.png",
)  # fmt: skip


class Web:
    """A service with all that it has, over a folder with what nobody may reach."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.outside = folder / "secret.png"
        self.outside.write_bytes(SECRET)
        (folder / "folder").mkdir()
        (folder / "folder" / "secret.png").write_bytes(SECRET)
        front = folder / "front"
        front.mkdir()
        (front / "index.html").write_text("<script src=app.js></script>", "utf-8")
        (front / "app.js").write_text("1", "utf-8")
        (front / "link.png").symlink_to(self.outside)
        told = {"models": (folder / "folder",), "cache_dir": folder / "cache", "offline": True}
        self.session = Session(Settings.model_validate(told))
        self.service = Service(self.session, folder / "data", ServiceOptions(**options))
        (folder / "data" / "token").write_bytes(SECRET)
        (self.service.uploads.folder / "link.png").symlink_to(self.outside)
        routers = [router(self.service) for router in (native_router, openai_router, comfyui_router)]
        self.app = make_app(self.service, routers)
        self.app.mount("/", FrontEnd(front))
        self.client = TestClient(self.app, base_url="http://127.0.0.1:8189", raise_server_exceptions=False)

    def files(self) -> set[Path]:
        """Return all files that are no databases and not in the store."""
        return {
            path
            for path in self.folder.rglob("*")
            if path.is_file() and "sqlite" not in path.name and "cache" not in path.parts
        }


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    web = Web(tmp_path_factory.mktemp("guarded"))
    with web.client:
        yield web
    web.session.close()


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


def in_path(name: str) -> str:
    """Return a name as it stands in a URL; what is encoded already is left so."""
    return re.sub(r"[\x00-\x1f]", lambda found: f"%{ord(found[0]):02x}", name)


def routes_of(found: Any) -> Iterator[tuple[str, BaseRoute]]:
    """Yield all routes with their paths, those of routers within too."""
    for route in found:
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        if inner is not None:
            context = getattr(route, "include_context", None)
            prefix = str(getattr(context, "prefix", ""))
            yield from ((prefix + path, it) for path, it in routes_of(inner.routes))
        elif not isinstance(route, Mount):
            yield str(getattr(route, "path", "")), route


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},  # a name that leads here by DNS rebinding
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},  # <img>, <form> and such, which send no Origin
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},  # another port of this machine
    ],
)
def test_no_route_answers_a_strangers_page(web: Web, headers: dict[str, str]) -> None:
    """The class of GHSA-5xxr-jvhm-jxmj: a page of a stranger asks a service on the user's machine past a check of Origin."""
    known = [(path.replace("{", "").replace("}", ""), route) for path, route in routes_of(web.app.routes)]
    paths = {path for path, _ in known}
    assert {"/prompt", "/api/prompt", "/ws", "/api/ws", "/v1/jobs", "/upload/image", "/v1/images/generations"} <= paths
    for path, route in known:
        if isinstance(route, WebSocketRoute) or path.endswith(("/ws", "/socket")):
            with (
                pytest.raises(WebSocketDisconnect),
                web.client.websocket_connect(f"ws://127.0.0.1:8189{path}", headers=headers),
            ):
                pass
            continue
        for method in getattr(route, "methods", None) or ("GET",):
            assert web.client.request(method, path, headers=headers, json={}).status_code == 403, (method, path)
    for path in ("/", "/app.js", "/nothing"):
        assert web.client.get(path, headers=headers).status_code == 403


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out(web: Web, name: str) -> None:
    """The class of GHSA-vv9c-xxg7-wmv7 (CVE-2025-6237): a name in a request reads, overwrites or deletes a file elsewhere."""
    before, client = web.files(), web.client
    answers = [
        client.get(path, params={**query, place: name})
        for path, query in (("/view", {}), ("/api/view", {"preview": "webp"}))
        for query in ({"filename": "x.png"}, {"filename": "secret.png", "type": "input"}, {})
        for place in ("filename", "subfolder", "type")
        if query or place == "filename"
    ]
    answers += [
        client.get(f"{prefix}/{in_path(name)}")
        for prefix in ("/userdata", "/models", "/object_info", "/history", "/api/jobs", "")
    ]
    answers += [
        client.get(f"/view_metadata/{in_path(folder)}", params={"filename": name})
        for folder in ("checkpoints", "loras", name)
    ]
    answers += [client.get(path, params={"dir": name, "path": name}) for path in ("/userdata", "/v2/userdata")]
    sent = {"image": (name, png())}
    answers += [
        client.post("/upload/image", files=sent, data={"overwrite": "true", "type": "output"}),
        client.post("/upload/image", files={"image": ("x.png", png())}, data={"subfolder": name, "overwrite": "true"}),
        client.post("/upload/image", files={"image": ("x.png", png())}, data={"type": name}),
        client.post("/upload/mask", files=sent, data={"original_ref": json.dumps({"filename": name, "type": "input"})}),
        client.delete(f"/userdata/{in_path(name)}"),
        client.post(f"/userdata/{in_path(name)}/move/x.json"),
        client.post("/history", json={"delete": [name]}),
        client.post("/queue", json={"delete": [name]}),
    ]
    for answer in answers:
        assert (
            SECRET not in answer.content and b"SQLite format" not in answer.content and b"root:" not in answer.content
        )
        assert answer.status_code < 500, answer.request.url
    kept = {path for path in web.files() - before if path.parent != web.service.uploads.folder}
    assert not kept and not before - web.files() and web.outside.read_bytes() == SECRET


def test_what_is_sent_under_a_name_leaves_by_no_other(web: Web) -> None:
    """Names of ComfyUI's clients are looked up, and nothing that they say becomes a path."""
    told = web.client.post("/upload/image", files={"image": ("mine.png", png())}, data={"subfolder": "a/b"}).json()
    assert (
        web.client.get("/view", params={"filename": told["name"], "subfolder": "a/b", "type": "input"}).content == png()
    )
    for other in (
        {"subfolder": "a"},
        {"subfolder": "a/b", "type": "output"},
        {"subfolder": "A/B"},
        {"subfolder": "a/b/."},
    ):
        query = {"filename": "mine.png", "type": "input", **other}
        assert web.client.get("/view", params=query).status_code >= 400
    names = {path.name for path in web.service.uploads.folder.iterdir()}
    assert "mine.png" not in names


@pytest.mark.parametrize("path", ["config.ini", "../comfyui.sqlite", "default/config.ini", "comfy.settings.json"])
def test_what_a_page_keeps_sets_nothing(web: Web, path: str) -> None:
    """The class of CVE-2025-67303: settings that count are read and overwritten among the files of a page."""
    before = web.files()
    safety, options = web.session.settings.safety, web.service.options
    for prefix in ("/userdata", "/api/userdata"):
        web.client.post(f"{prefix}/{path}", content=b"[default]\nsecurity_level = weak\nsafety = off")
        answer = web.client.get(f"{prefix}/{path}")
        assert SECRET not in answer.content and b"SQLite" not in answer.content
    web.client.post("/settings", json={"safety": "off", "token": None, "download": True})
    assert (web.session.settings.safety, web.service.options) == (safety, options) and web.files() == before


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x=1", "a\nx: y", "a\u2028b", "a\x00b", "a%0d%0aset-cookie: x=1"])
def test_no_line_is_smuggled_in(web: Web, value: str) -> None:
    """The class of CVE-2026-22777: line ends in a parameter that is written where lines count."""
    client = web.client
    answers = [
        client.get("/view", params={"filename": value}),
        client.get("/view", params={"filename": "x.png", "subfolder": value, "type": value}),
        client.get(f"/models/{in_path(value)}"),
        client.post("/upload/image", files={"image": (value, png())}, data={"subfolder": value}),
        client.post("/prompt", json={"prompt": {"1": {"class_type": value, "inputs": {}}}, "prompt_id": value}),
        client.post(f"/settings/{in_path(value)}", json=value),
        client.post(f"/userdata/{in_path(value)}", content=b"x", params={"full_info": "true"}),
    ]
    for answer in answers:
        assert answer.status_code < 500 and "set-cookie" not in answer.headers
        assert not any(char in told for told in answer.headers.values() for char in "\r\n\0")


class Touches:
    """A pickle that makes a folder where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_no_pickle_is_taken_or_read(web: Web) -> None:
    """The class of CVE-2024-12029: a model that a client sends or names, and that runs when it is looked at."""
    mark = web.folder / "mark"
    data = pickle.dumps(Touches(mark))
    assert web.client.post("/upload/image", files={"image": ("x.png", data)}).status_code == 400
    (web.folder / "folder" / "model.ckpt").write_bytes(data)
    web.client.get("/object_info")
    web.client.get("/view_metadata/checkpoints", params={"filename": "model.ckpt"})
    nodes = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "model.ckpt"}},
        "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "3": {"class_type": "VAEDecode", "inputs": {"samples": ["2", 0], "vae": ["1", 2]}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "x"}},
    }
    answer = web.client.post("/prompt", json={"prompt": nodes})
    if answer.status_code == 200:
        assert web.service.jobs.wait(answer.json()["prompt_id"], 60).state == "failed"
    assert not mark.exists()


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x.js", "x.xml", "x.xhtml", "x.pdf", "x.mjs"])
def test_nothing_that_was_sent_runs(web: Web, name: str) -> None:
    """A page that a stranger had the service keep: no answer is one that a browser runs."""
    evil = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    assert web.client.post("/upload/image", files={"image": (name, evil)}).status_code == 400
    polyglot = png() + evil
    told = web.client.post("/upload/image", files={"image": (name, polyglot)}).json()
    answers = [web.client.get("/view", params={"filename": told["name"], "type": "input"})]
    web.client.post(f"/userdata/{name}", content=evil)
    answers.append(web.client.get(f"/userdata/{name}"))
    for answer in answers:
        assert answer.status_code in ANSWERS
        assert answer.headers["content-type"] in ("image/png", "application/octet-stream")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]


def test_the_front_end_runs_alone(web: Web) -> None:
    answer = web.client.get("/")
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200 and "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "http" not in policy.replace("https://127", "")
    for path in ("/link.png", "/../secret.png", "/..%2fsecret.png", "/%2e%2e/secret.png", "//etc/passwd"):
        answer = web.client.get(path)
        assert answer.status_code == 404 and SECRET not in answer.content, path


def test_a_folder_without_a_front_end_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no index") as told:
        FrontEnd(tmp_path)
    assert told.value.where == str(tmp_path)


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    web = Web(tmp_path, token="sesame-open-sesame", host="0.0.0.0")
    with web.client as client:
        for path in ("/", "/prompt", "/api/history", "/view?filename=x.png", "/prompt?token=sesame-open-sesame"):
            assert client.get(path).status_code == 401, path
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://127.0.0.1:8189/ws"):
            pass
        with client.websocket_connect("ws://127.0.0.1:8189/ws?token=sesame-open-sesame") as socket:
            assert socket.receive_json()["type"] == "status"
        assert client.get("/prompt", headers={"authorization": "Bearer sesame-open-sesame"}).status_code == 200
    web.session.close()


def test_requests_are_bounded(tmp_path: Path) -> None:
    web = Web(tmp_path, document_bytes=10_000, upload_bytes=20_000, pixels=100)
    headers = {"content-type": "application/json"}
    with web.client as client:
        for path in ("/prompt", "/api/prompt", "/userdata/x.json", "/settings", "/history"):
            assert client.post(path, content=b" " * 10_001, headers=headers).status_code == 413, path
            assert client.post(path, content=iter([b" " * 6_000] * 2), headers=headers).status_code == 413, path
        for body in ("[" * 5_000, "{", '{"prompt": {"1": {}, "1": {}}}', '{"prompt": NaN}', "\xff"):
            assert client.post("/prompt", content=body.encode("latin-1"), headers=headers).status_code in (400, 413), (
                body
            )
        assert client.post("/upload/image", files={"image": ("x.png", png() + b" " * 20_000)}).status_code == 413
        large = io.BytesIO()
        Image.new("1", (20, 20)).save(large, "PNG")
        assert client.post("/upload/image", files={"image": ("x.png", large.getvalue())}).status_code == 413
        many = [("image", (f"{number}.png", png())) for number in range(2)]
        assert client.post("/upload/image", files=many).status_code == 400
    web.session.close()
