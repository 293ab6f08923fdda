"""The native interface: what a client sends and gets."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from tests.service.asking import CHAIN, ask, png, run


def test_run_waits_for_the_result_and_gives_its_files(shared: TestClient) -> None:
    job = run(shared, inputs={"seed": 9})
    assert (job["state"], job["result"]["outputs"]) == ("done", {"number": 1009.003})
    (file,) = job["files"]
    answer = shared.get(file["url"])
    assert answer.text == "1009.003"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert shared.get(f"/v1/jobs/{job['id']}/files").json() == [file]
    assert shared.get(f"/v1/jobs/{job['id']}/workflow").json()["nodes"]["sample"]["params"]["seed"] == 9


def test_a_job_is_submitted_followed_and_listed(client: TestClient) -> None:
    made = client.post("/v1/jobs", json=ask(), headers={"Idempotency-Key": "one"})
    assert made.status_code == 201 and made.headers["location"] == f"/v1/jobs/{made.json()['id']}"
    again = client.post("/v1/jobs", json=ask(), headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
    other = client.post("/v1/jobs", json=ask(priority=1), headers={"Idempotency-Key": "one"})
    assert other.status_code == 409 and "another request" in other.json()["message"]

    id = made.json()["id"]
    lines = client.get(f"/v1/jobs/{id}/events").text.split("\n\n")
    told = [json.loads(line.split("data: ")[1]) for line in lines if "data: " in line]
    assert [event["path"] for event in told if event["event"] == "written"] == ["toy_00001.txt"]
    assert told[-1] == {"event": "state", "state": "done", "attempt": 1, "paused": False}
    with client.websocket_connect(f"ws://127.0.0.1:8189/v1/jobs/{id}/socket") as socket:
        assert socket.receive_json()["event"] == "state"
    page = client.get("/v1/jobs", params={"state": "done"}).json()
    assert [job["id"] for job in page["jobs"]] == [id] and page["next"] is None
    assert [attempt["outcome"] for attempt in client.get(f"/v1/jobs/{id}/attempts").json()] == ["done"]
    assert client.get("/v1/health").json()["jobs"] == {"done": 1}
    assert client.delete(f"/v1/jobs/{id}").status_code == 204
    assert client.get(f"/v1/jobs/{id}").status_code == 404


def test_events_of_a_large_graph_are_small(shared: TestClient) -> None:
    nodes = {f"n{number}": {"type": "toy_add", "params": {"x": number}} for number in range(999)}
    total = {"sum": {"type": "toy_sum", "links": {"parts": list(nodes)}}}
    given = {"graphflow": 2, "nodes": nodes | total, "outputs": {"sum": "sum"}}
    job = shared.post("/v1/jobs", json={"workflow": given, "paused": True}).json()
    feed = shared.app.state.service.jobs.feed(job["id"])  # type: ignore[attr-defined]
    shared.post(f"/v1/jobs/{job['id']}/resume")
    assert feed.wait(60)
    told = shared.get(f"/v1/jobs/{job['id']}/events")
    assert told.text.count('"event":"finished"') == 1000
    assert len(told.content) <= 2**20


def test_a_job_is_changed_while_it_waits(shared: TestClient) -> None:
    id = shared.post("/v1/jobs", json=ask(paused=True)).json()["id"]
    assert shared.patch(f"/v1/jobs/{id}", json={"priority": 4}).json()["priority"] == 4
    assert shared.post(f"/v1/jobs/{id}/pause").json()["paused"]
    assert shared.post(f"/v1/jobs/{id}/cancel").json()["state"] == "cancelled"
    assert shared.post(f"/v1/jobs/{id}/resume").status_code == 409
    assert shared.post(f"/v1/jobs/{id}/retry").json()["state"] == "queued"


def test_problems_are_told_all_at_once(shared: TestClient) -> None:
    wrong = json.loads(json.dumps(CHAIN))
    wrong["nodes"]["sample"]["params"] = {"seed": 7, "steps": 0, "sampler": "eulr"}
    told = shared.post("/v1/validate", json={"workflow": wrong}).json()
    assert not told["valid"] and len(told["problems"]) == 2
    refused = shared.post("/v1/jobs", json={"workflow": wrong})
    assert refused.status_code == 422 and refused.json()["problems"] == told["problems"]
    assert shared.post("/v1/validate", json=ask()).json() == {"valid": True, "problems": [], "notices": []}


def test_plan_tells_what_would_run(client: TestClient) -> None:
    assert client.post("/v1/plan", json=ask()).json()["counts"]["run"] == 2
    run(client)
    assert client.post("/v1/plan", json=ask()).json()["counts"]["run"] == 0


def test_what_there_is_is_listed(shared: TestClient) -> None:
    assert "toy_add" in [row["type"] for row in shared.get("/v1/nodes").json()]
    assert shared.get("/v1/nodes/toy_add").json()["outputs"][0]["type"] == "float"
    assert shared.get("/v1/nodes/toy_ad").status_code == 404
    (shapes,) = [row for row in shared.get("/v1/models").json() if row["name"] == "shapes"]
    assert shapes["kind"] == "checkpoint" and "path" not in shapes
    assert shared.get("/v1/workflows/none").status_code == 404


@pytest.mark.parametrize(
    ("workflow", "status"),
    [("/etc/passwd", 422), ("../../x.json", 422), ("nothing", 422), ({"graphflow": 9}, 422), ([], 422), (3, 422)],
)
def test_a_workflow_is_a_document_or_a_packaged_name(shared: TestClient, workflow: Any, status: int) -> None:
    assert shared.post("/v1/jobs", json={"workflow": workflow}).status_code == status


def test_uploads_are_kept_by_digest_and_read_by_documents(shared: TestClient) -> None:
    data = png()
    digest = hashlib.sha256(data).hexdigest()
    assert shared.get(f"/v1/uploads/{digest}").status_code == 404
    made = shared.post("/v1/uploads", content=data)
    assert (made.status_code, made.json()) == (201, {"digest": digest, "name": f"{digest}.png", "size": len(data)})
    assert shared.get(f"/v1/uploads/{digest}").json() == made.json()
    assert shared.put(f"/v1/uploads/{digest}", content=b"").json() == made.json()
    assert shared.put(f"/v1/uploads/{'0' * 64}", content=data).status_code == 422
    node = {"type": "toy_read", "params": {"file": f"{digest}.png"}}
    read = {"graphflow": 2, "nodes": {"read": node}, "outputs": {"text": "read"}}
    plan = shared.post("/v1/plan", json={"workflow": read})
    assert plan.status_code == 200, plan.text
    assert plan.json()["steps"][0]["files"][0]["fingerprint"], plan.text


def test_the_interface_describes_itself(shared: TestClient) -> None:
    told = shared.get("/v1/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    schema = {**told["components"]["schemas"]["JobView"], "components": told["components"]}
    jsonschema.validate(run(shared), schema)
