"""A service that is killed again and again under load: every job has one whole result in the end."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from graphflow.jobs.database import Database

KILLS = 500 if os.environ.get("GRAPHFLOW_TEST_SOAK") else 20
LATEST = 0.15
"""Seconds in which a service is killed once it has answered a submission."""
PATIENCE = 120.0


class Killable:
    """A service that is started and killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._orders, self._told = process.stdin, process.stdout
        self.port = int(self._told.readline())

    def start(self) -> int:
        self._orders.write("start\n")
        self._orders.flush()
        return int(self._told.readline())

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"content-type": "application/json", **headers})
            answer = connection.getresponse()
            told = answer.read()
            assert answer.status < 300, told
            return json.loads(told)


def kill(pid: int) -> None:
    """Kill a process and wait until it is gone, with what it had locked."""
    os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(0.001)


def workflow(number: int) -> dict[str, Any]:
    return {
        "graphflow": 2,
        "nodes": {
            "a": {"type": "toy_load", "params": {"scale": number}},
            "b": {"type": "toy_slow", "params": {"seconds": 0.04}, "links": {"x": "a"}},
            "c": {"type": "toy_write", "links": {"x": "b"}},
        },
    }


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_no_job_is_lost_doubled_or_halved(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.killable", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            check(Killable(process), tmp_path)
        finally:
            process.kill()


def check(service: Killable, folder: Path) -> None:
    moments, numbers, over = random.Random(KILLS), itertools.count(), threading.Event()
    taken: dict[int, str] = {}

    def load() -> None:
        while not over.is_set():
            number = next(numbers)
            while number not in taken:  # a client that got no answer asks again
                with suppress(OSError, http.client.HTTPException):
                    asked = {"workflow": workflow(number)}
                    job = service.ask("POST", "/v1/jobs", asked, **{"idempotency-key": str(number)})
                    taken[number] = job["id"]
            time.sleep(0.02)

    client = threading.Thread(target=load)
    pid = service.start()
    client.start()
    for _ in range(KILLS):
        before = len(taken)
        while len(taken) == before:  # there is something to be cut off
            time.sleep(0.001)
        time.sleep(moments.uniform(0, LATEST))
        kill(pid)
        pid = service.start()
    over.set()
    client.join()
    until = time.monotonic() + PATIENCE
    while set(service.ask("GET", "/v1/health")["jobs"]) != {"done"}:
        assert time.monotonic() < until, service.ask("GET", "/v1/health")
        for job in service.ask("GET", "/v1/jobs?state=interrupted")["jobs"]:
            if job["paused"]:  # given up, since it ran whenever the service was killed
                service.ask("POST", f"/v1/jobs/{job['id']}/retry")
        time.sleep(0.05)
    kill(pid)

    database = Database(folder / "service" / "jobs.sqlite")
    assert database.counts() == {"done": len(taken)}
    outcomes: Counter[str | None] = Counter()
    for number, id in taken.items():
        job = database.job(id)
        assert job is not None
        attempts = database.attempts(id)
        outcomes.update(attempt.outcome for attempt in attempts)
        assert [attempt.number for attempt in attempts] == list(range(1, job.attempt + 1))
        assert [attempt.outcome for attempt in attempts if attempt.outcome == "done"] == ["done"]
        assert [file.name for file in database.files(id)] == ["toy_00001.txt"]
        whole = folder / "service" / "files" / id
        found = {
            path.relative_to(whole).as_posix(): path.read_text("utf-8") for path in whole.rglob("*") if path.is_file()
        }
        assert found == {f"{job.attempt}/toy_00001.txt": f"{float(number)!r}"}
    assert len(list((folder / "service" / "files").iterdir())) == len(taken)
    assert outcomes["interrupted"] > 0
