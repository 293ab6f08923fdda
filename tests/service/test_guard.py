"""Who may ask, and how much: what a stranger's page, name, file or document cannot do."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from graphflow import Session, Settings
from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.service.app import Service, make_app
from graphflow.service.native import native_router
from graphflow.service.serving import listen, token_of
from tests.conftest import ROOT
from tests.service.asking import ask, png, run
from tests.service.conftest import Serve

EVIL = "http://evil.example"


def how_many(client: TestClient) -> int:
    """Return how many jobs there are, in whatever state."""
    return sum(client.app.state.service.jobs.counts().values())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8189", "localhost@evil.example", "", "[::1", "10.0.0.1"]
)
def test_a_strangers_name_does_not_lead_here(shared: TestClient, host: str) -> None:
    answer = shared.get("/v1/nodes", headers={"host": host})
    assert answer.status_code == 403 and "not called" in answer.json()["message"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8189", "127.0.0.1:1", "[::1]:8189"])
def test_its_own_names_do(shared: TestClient, host: str) -> None:
    assert shared.get("/v1/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:8189.evil.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ],
)
def test_a_strangers_page_asks_in_vain(shared: TestClient, headers: dict[str, str]) -> None:
    before = how_many(shared)
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("OPTIONS", "/v1/jobs")):
        assert shared.request(method, path, headers=headers, json=ask()).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        shared.websocket_connect("ws://127.0.0.1:8189/v1/jobs/x/socket", headers=headers),
    ):
        pass
    assert how_many(shared) == before


def test_the_own_page_and_an_allowed_one_ask(serve: Serve) -> None:
    client = serve(origins=("https://app.example",))
    assert client.get("/v1/jobs", headers={"origin": "http://127.0.0.1:8189"}).status_code == 200
    answer = client.get("/v1/jobs", headers={"origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_form_of_a_page_queues_nothing(shared: TestClient, kind: str) -> None:
    before = how_many(shared)
    assert shared.post("/v1/jobs", content=json.dumps(ask()), headers={"content-type": kind}).status_code == 422
    assert how_many(shared) == before


def test_a_token_is_asked_for(serve: Serve) -> None:
    client = serve(token="sesame-open-sesame", host="0.0.0.0")
    for header in ("", "Bearer", "Bearer wrong", "Basic sesame-open-sesame", "bearer sesame-open-sesam"):
        answer = client.get("/v1/jobs", headers={"authorization": header})
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/v1/jobs?token=sesame-open-sesame").status_code == 401  # it would stand in logs
    assert client.get("/v1/jobs", headers={"authorization": "Bearer sesame-open-sesame"}).status_code == 200
    assert client.get("/v1/health").status_code == 200
    assert (
        client.get("/v1/health", headers={"host": "192.168.1.7"}).status_code == 200
    )  # no name, so none of a stranger's
    assert client.get("/v1/health", headers={"host": "evil.example"}).status_code == 403
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://127.0.0.1:8189/v1/jobs/x/socket"):
        pass


def test_requests_are_bounded(serve: Serve) -> None:
    client = serve(document_bytes=10_000, upload_bytes=20_000, uploads_bytes=25_000)
    deep = "[" * 200 + "]" * 200
    headers = {"content-type": "application/json"}
    large = client.post("/v1/jobs", content=b" " * 10_001, headers=headers)
    assert large.status_code == 413
    assert client.post("/v1/jobs", content=iter([b" " * 6_000] * 2), headers=headers).status_code == 413
    assert client.post("/v1/jobs", content=f'{{"workflow": {deep}}}', headers=headers).status_code == 413
    for wrong in ('{"workflow": "a", "workflow": "b"}', '{"workflow": NaN}', "{", "[" * 5_000, b"\xff"):
        assert client.post("/v1/jobs", content=wrong, headers=headers).status_code in (400, 413), wrong
    assert client.post("/v1/uploads", content=png() + b" " * 15_000).status_code == 201
    assert client.post("/v1/uploads", content=png() + b" " * 20_000).status_code == 413
    assert client.post("/v1/uploads", content=png() + b" " * 14_000).status_code == 413  # all of them together


def test_requests_come_at_a_rate(serve: Serve) -> None:
    client = serve(rate=0.001, burst=2)
    assert [client.get("/v1/health").status_code for _ in range(3)] == [200, 200, 429]


def test_pixels_are_bounded(serve: Serve) -> None:
    client = serve(pixels=5)
    answer = client.post("/v1/uploads", content=png())
    assert answer.status_code == 413 and "pixels" in answer.json()["message"]


@pytest.mark.parametrize(
    "name", ["../../1/toy_00001.txt", "..%2f..%2fjobs.sqlite", "%2fetc%2fpasswd", "/etc/passwd", "toy_00001.txt%00.png",
             "toy_00001.txt::$DATA", "TOY_00001.TXT/.", "..\\..\\jobs.sqlite", "link.txt"],
)  # fmt: skip
def test_files_of_a_job_are_its_results_alone(shared: TestClient, name: str) -> None:
    job = run(shared)
    folder = shared.app.state.service.jobs.folder / "files" / job["id"] / "1"  # type: ignore[attr-defined]
    (folder / "link.txt").symlink_to("/etc/passwd")
    assert shared.get(f"/v1/jobs/{job['id']}/files/{name}").status_code in (404, 422)


def test_a_result_that_became_a_link_is_not_followed(client: TestClient) -> None:
    job = run(client)
    path = client.app.state.service.jobs.folder / "files" / job["id"] / "1" / "toy_00001.txt"  # type: ignore[attr-defined]
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert client.get(job["files"][0]["url"]).status_code == 404


class Touches:
    """A pickle that makes a file where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def archive(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", data)
    return file.getvalue()


@pytest.mark.parametrize("wrap", [bytes, archive])
def test_no_pickle_is_taken_or_read(shared: TestClient, tmp_path: Path, wrap: Any) -> None:
    """The class of CVE-2024-12029: a model that a shared names or sends, and that runs when it is looked at."""
    mark = tmp_path / "mark"
    data = wrap(pickle.dumps(Touches(mark)))
    assert shared.post("/v1/uploads", content=data).status_code == 422
    (tmp_path / "model.ckpt").write_bytes(data)
    loads = {"graphflow": 2, "nodes": {"m": {"type": "toy_load", "params": {"name": str(tmp_path / "model.ckpt")}}}}
    shared.post("/v1/run", json={"workflow": loads | {"outputs": {"m": "m"}}})
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"#!/bin/sh", b"", b"MZ"])
def test_only_media_are_taken(shared: TestClient, content: bytes) -> None:
    answer = shared.post("/v1/uploads", content=content, headers={"content-type": "image/png"})
    assert answer.status_code == 422


def test_nothing_that_is_sent_back_runs(shared: TestClient) -> None:
    answer = shared.get("/v1/health")
    assert (
        "sandbox" in answer.headers["content-security-policy"] and answer.headers["x-content-type-options"] == "nosniff"
    )
    assert "server" not in answer.headers
    assert shared.get("/docs").status_code == shared.get("/redoc").status_code == 404


@pytest.mark.parametrize(
    "path", ["/jobs.sqlite", "/token", "/v1/../jobs.sqlite", "/v1/files/jobs.sqlite", "/config.ini"]
)
def test_what_the_service_keeps_is_not_served(shared: TestClient, path: str) -> None:
    """The class of CVE-2025-67303: settings and records in a folder that the interface reaches."""
    assert shared.get(path).status_code == 404


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x=1", "a\nb", "ä #?b"])
def test_no_line_is_smuggled_into_headers_or_records(shared: TestClient, value: str) -> None:
    """The class of CVE-2026-22777: line ends in a parameter that is written where lines count."""
    told = shared.get("/v1/jobs", params={"before": value})
    assert told.status_code == 422 and "set-cookie" not in told.headers
    job = run(shared, overrides={"save.name": value})
    shown = shared.get(f"/v1/jobs/{job['id']}/events").text
    assert all(line.startswith(("id: ", "data: ", ":")) for line in shown.splitlines() if line)
    answer = shared.get(job["files"][0]["url"])
    assert answer.status_code == 200 and "set-cookie" not in answer.headers


def test_the_services_safety_policy_wins(serve: Serve) -> None:
    client = serve(settings={"safety": "require"})
    job = run(client, safety="off")
    assert client.app.state.service.jobs.order(job["id"]).safety == "require"  # type: ignore[attr-defined]


def test_a_document_is_bounded(shared: TestClient) -> None:
    nodes = {f"n{number}": {"type": "toy_load"} for number in range(LIMITS.nodes + 1)}
    assert shared.post("/v1/validate", json={"workflow": {"graphflow": 2, "nodes": nodes}}).status_code == 413


def test_no_answer_tells_where_things_stand(tmp_path: Path) -> None:
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    model = {"type": "load_checkpoint", "params": {"model": "shapes"}}
    missing = {"type": "load_checkpoint", "params": {"model": "nothing.safetensors"}}
    picture = {"type": "load_image", "params": {"file": "nothing.png"}}
    note = f"mine: {tmp_path}"
    settings = Settings(models=(tmp_path / "models",), cache_dir=tmp_path / "cache", offline=True)
    with Session(settings) as session:
        app = make_app(service := Service(session, tmp_path / "data"), [native_router(service)])
        with TestClient(app, base_url="http://127.0.0.1:8189", raise_server_exceptions=False) as client:

            def plan(**nodes: Any) -> dict[str, Any]:
                document = {"graphflow": 2, "description": note, "nodes": nodes, "outputs": {"x": next(iter(nodes))}}
                return client.post("/v1/plan", json={"workflow": document}).json()  # type: ignore[no-any-return]

            told = plan(model=model)
            assert told["steps"][0]["files"][0]["name"] == "shapes" and told["workflow"].pop("description") == note
            refused = plan(model=missing)
            assert "…/models" in refused["problems"][0]["message"]
            for answer in (told, refused, plan(picture=picture), client.get("/v1/models").json()):
                text = json.dumps(answer)
                assert "steps" in text or "nothing" in text or "shapes" in text
                assert str(tmp_path) not in text and str(ROOT) not in text and str(Path.home()) not in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("DELETE", "/v1/health", 405), ("GET", "/v1/nodes/nothing", 404), ("POST", "/v1/plan", 413)],
)  # fmt: skip
def test_every_refusal_has_one_form(shared: TestClient, method: str, path: str, status: int) -> None:
    body = b" " * (LIMITS.document_bytes + 1) if status == 413 else b""
    answer = shared.request(method, path, content=body)
    assert answer.status_code == status
    assert answer.json()["message"] and answer.json()["advice"]


@pytest.mark.parametrize("spoil", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff" * 40)])
def test_a_token_that_cannot_be_read_is_told_with_its_place(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(tmp_path / "token")
    with pytest.raises(InvalidInputError, match="cannot be used") as told:
        token_of(tmp_path, wanted=True)
    assert told.value.where == str(tmp_path / "token") and "--data" in (told.value.advice or "")


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(InvalidInputError, match="cannot listen") as told:
        listen("192.0.2.1", 0)  # an address for documentation
    assert "--host" in (told.value.advice or "")
