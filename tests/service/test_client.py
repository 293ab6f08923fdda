"""The clients: the same results, events and errors as a session gives."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from graphflow import AsyncClient, Client, Result, Workflow
from graphflow.errors import CancelledError, GraphflowError, InvalidInputError, NodeError, WorkflowError
from graphflow.events import Event, NodeFinished, RunFinished, RunStarted, Written
from graphflow.jobs.job import JobConflictError, UnknownJobError
from graphflow.jobs.queue import Jobs
from tests import toys as toy


def chain(seed: int = 7, steps: int = 3) -> Workflow:
    g = Workflow("chain")
    sampled = g.add(toy.sample, model=g.add(toy.load, id="model"), seed=seed, steps=steps, id="sample")
    g.add(toy.write, x=sampled, id="save")
    g.expose("seed", "sample.seed")
    return g


@pytest.fixture
def client(shared: TestClient) -> Any:
    with Client("http://127.0.0.1:8189", transport=httpx2.ASGITransport(app=shared.app)) as client:
        yield client


def test_run_gives_what_a_session_gives(client: Client, tmp_path: Path) -> None:
    told: list[Event] = []
    result = client.run(chain(), {"seed": 9}, out=tmp_path, sink=told.append)
    assert isinstance(result, Result) and result.ran[-2:] == ["sample", "save"]
    assert result.paths == [tmp_path / "toy_00001.txt"]
    assert result.paths[0].read_text("utf-8") == "1009.003"
    assert "1 file written" in result.totals() and result.images == []
    kinds = [type(event) for event in told]
    assert kinds[0] is RunStarted and kinds[-1] is RunFinished and {NodeFinished, Written} <= set(kinds)
    again = client.run(chain(), {"seed": 9}, out=tmp_path)
    assert (again.paths, again.files["save"][0].how) == (result.paths, "up to date")
    other = client.run(chain(), {"seed": 10}, out=tmp_path)
    assert other.paths == [tmp_path / "toy_00002.txt"]  # nothing is overwritten
    with pytest.raises(GraphflowError, match="stays with the service"):
        result.plan.steps  # noqa: B018


def test_jobs_are_handled(client: Client) -> None:
    job = client.submit(chain(), paused=True, key="handled")
    assert client.submit(chain(), paused=True, key="handled").id == job.id
    with pytest.raises(JobConflictError):
        client.submit(chain(8), paused=True, key="handled")
    assert job in client.jobs("queued")
    assert client.cancel(job.id).state == "cancelled"
    with pytest.raises(CancelledError):
        client.result(job.id)
    assert client.retry(job.id).state in ("queued", "running", "done")
    assert [type(event) for event in client.events(job.id)][-1] is RunFinished
    assert client.job(job.id).state == "done"
    client.remove(job.id)
    with pytest.raises(UnknownJobError):
        client.job(job.id)


def test_errors_are_those_of_a_session(client: Client) -> None:
    assert [problem.path for problem in client.validate(chain(steps=0))] == ["nodes.sample.params.steps"]
    with pytest.raises(WorkflowError) as caught:
        client.run(chain(steps=0))
    assert caught.value.problems == tuple(client.validate(chain(steps=0)))
    g = Workflow("failing")
    g.add(toy.write, x=g.add(toy.fail, x=1.0, id="broken"), id="save")
    with pytest.raises(NodeError, match="broken") as failed:
        client.run(g)
    assert (failed.value.node, failed.value.node_type) == ("broken", "toy_fail")
    assert client.plan(chain(3))["counts"]["write"] == 1


def test_a_cancelled_task_cancels_its_job(shared: TestClient) -> None:
    jobs: Jobs = shared.app.state.service.jobs  # type: ignore[attr-defined]

    async def main() -> str:
        transport = httpx2.ASGITransport(app=shared.app)
        async with AsyncClient("http://127.0.0.1:8189", transport=transport) as client:
            task = asyncio.create_task(client.run(chain(), paused=True))
            while not (waiting := [job for job in jobs.waiting() if job.paused]):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return waiting[0].id

    assert jobs.job(asyncio.run(main())).state == "cancelled"


def test_a_service_that_is_not_there_is_said() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(address) as client, pytest.raises(GraphflowError, match="does not answer") as caught:
        client.health()
    assert caught.value.where == address


def test_what_cannot_be_read_or_written_is_said(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="cannot be read") as caught:
        client.upload(tmp_path / "missing.png")
    assert caught.value.where == str(tmp_path / "missing.png")
    with pytest.raises(InvalidInputError, match="cannot write there") as caught:
        client.run(chain(), out=tmp_path / "file")
    assert caught.value.where == str(tmp_path / "file")
    with pytest.raises(InvalidInputError, match="no address"):
        Client("127.0.0.1:8189")
