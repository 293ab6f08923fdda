"""The programs of docs/embedding.md run as they stand, and do what the document says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from graphflow.errors import CancelledError
from graphflow.events import NodeProgress
from graphflow.session import Session
from tests.conftest import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "embedding.md").read_text("utf-8"), flags=re.DOTALL)
SMALL = {"width": 64, "height": 64, "prompt": "a red circle"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def program(marker: str) -> dict[str, Any]:
    """Run the one program of the document that has this text; returns its names."""
    (code,) = [block for block in BLOCKS if marker in block]
    names: dict[str, Any] = {}
    exec(compile(code, f"docs/embedding.md: {marker}", "exec"), names)
    return names


def test_a_program_with_a_session(capsys: pytest.CaptureFixture[str]) -> None:
    program("session.validate(")
    told = capsys.readouterr().out
    assert "nodes.sample.params.steps: must be ≥ 1, got 0" in told
    assert "8 nodes: " in told and "1 file written" in told
    assert len(list(Path("pictures").iterdir())) == 1


def test_a_program_with_an_event_loop(capsys: pytest.CaptureFixture[str]) -> None:
    program("asyncio.gather(")
    assert len(list(Path("pictures").iterdir())) == 3
    assert "sample 4 of 4" in capsys.readouterr().out


def test_the_desktop_program(session: Session) -> None:
    job_of = program("class Job")["Job"]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        job = job_of(pool, session, "txt2img", {**SMALL, "steps": 10_000}, "pictures")
        news: list[Any] = []
        while not any(isinstance(event, NodeProgress) for event in news):
            assert not job.result.done()
            news += job.take()
        job.stop()
        with pytest.raises(CancelledError):
            job.result.result()
        assert job.take()[-1].status == "cancelled"
        assert not Path("pictures").exists()


def test_a_shell_with_the_engine_in_a_process(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = program("class Engine")
    assert next(block for block in BLOCKS if "class Engine" in block).count("\n") <= 100
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    engine = names["Engine"]("jobs", "--nodes", str(ROOT / "tests" / "cli" / "pack.py"))
    nodes = {
        "draw": {"type": "pack_draw", "params": {"seed": 7, "steps": 3, "wait": 0.01}},
        "save": {"type": "pack_save", "links": {"x": "draw"}},
    }
    workflow = {"graphflow": 2, "inputs": {"steps": {"to": ["draw.steps"]}}, "nodes": nodes}
    (path,) = names["show"](engine, workflow)
    assert Path(path).is_file()
    assert capsys.readouterr().out.splitlines()[-1] == "done"
    with pytest.raises(RuntimeError, match="no such input"):
        engine.submit(workflow, wrong=1)
    job = engine.submit(workflow, steps=100_000)
    events = engine.events(job)
    while next(events)["event"] != "progress":
        pass
    engine.cancel(job)
    engine.stop()
    assert list(Path("jobs", "files").iterdir()) == [Path(path).parents[1]]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="has ended"):
            engine.ask("jobs")
    assert next(engine.events("another"))["state"] == "gone"


async def ask(port: int, given: dict[str, object]) -> AsyncIterator[dict[str, Any]]:
    """Send a request; yields what is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = json.dumps(given).encode()
        writer.write(f"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        while (await reader.readline()).strip():
            pass
        async for line in reader:
            yield json.loads(line)
    finally:
        writer.close()


def test_the_web_back_end() -> None:
    names = program("async def respond")
    ended: list[str] = []
    run = names["run"]

    async def watched(inputs: dict[str, object], writer: asyncio.StreamWriter) -> None:
        try:
            await run(inputs, writer)
            ended.append("told")
        except asyncio.CancelledError:
            ended.append("stopped")
            raise

    names["run"] = watched

    async def main() -> None:
        server = await asyncio.start_server(names["respond"], "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            told = [answer async for answer in ask(port, {**SMALL, "seed": 5, "steps": 2, "model": "/etc/passwd"})]
            assert told[0]["event"] == "run_started" and told[-1] == {"event": "result", "files": ["txt2img_00001.png"]}
            wrong = [answer async for answer in ask(port, {"steps": -1})]
            assert "nodes.sample.params.steps" in wrong[-1]["message"]
            leaving = ask(port, {**SMALL, "seed": 6, "steps": 10_000})
            async for answer in leaving:
                if answer["event"] == "progress":
                    break
            await leaving.aclose()  # type: ignore[attr-defined]
            while len(ended) < 3:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 120))
    assert ended == ["told", "told", "stopped"]
