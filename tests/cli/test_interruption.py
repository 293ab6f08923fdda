"""Ctrl-C, SIGTERM, and readers that go away, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import PACK, finish, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def begin(*arguments: object) -> subprocess.Popen[str]:
    """Start a run that takes many steps, and wait until it takes them."""
    process = start("run", "chain.json", "--nodes", PACK, "--json", *arguments)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "progress":
            return process
    raise AssertionError(finish(process).err)


SLOW = ["-i", "steps=5000", "--set", "draw.wait=0.02"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_between_steps(number: int, chain: Path) -> None:
    process = begin(*SLOW)
    process.send_signal(number)
    ran = finish(process)
    assert ran.code == 130
    assert "interrupted" in ran.err and "Traceback" not in ran.err
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["status"] for event in told if event["event"] == "run_finished"] == ["cancelled"]
    assert told[-1]["event"] == "error" and told[-1]["exit_code"] == 130
    assert {event["run_id"] for event in told} == {told[0]["run_id"]}
    assert not Path("out").exists()
    left = [path for path in Path.cwd().rglob("*") if path.suffix in (".part", ".tmp")]
    assert left == []


def test_the_second_signal_leaves_at_once(chain: Path) -> None:
    process = begin("-i", "steps=2", "--set", "draw.wait=60")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "a second Ctrl-C stops at once" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 130


TWICE = """
import os, signal, threading, time
from pathlib import Path
from graphflow.basics import atomic
from graphflow.cli.interruption import interruption
from graphflow.events import NodeStarted
if hasattr(os, "O_TMPFILE"):
    del os.O_TMPFILE  # nor has it files without a name
os.link = lambda *names: time.sleep(60)  # a file system that hangs
with interruption() as state:
    state.notice(NodeStarted(node="save", type="save"))
    threading.Thread(target=atomic.write_new, args=(Path("out/picture.png"), b"picture")).start()
    while not list(Path("out").glob(".graphflow-*.part")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_the_second_signal_leaves_no_half_file() -> None:
    Path("out").mkdir()
    assert finish(start(before=("-c", TWICE))).code == 130
    assert list(Path("out").iterdir()) == []


def test_what_was_finished_is_not_computed_again(chain: Path) -> None:
    document = json.loads(chain.read_text("utf-8"))
    document["nodes"]["slow"] = {"type": "pack_draw", "params": {"steps": 5000, "wait": 0.02}}
    document["nodes"]["save2"] = {"type": "pack_save", "links": {"x": "slow"}}
    chain.write_text(json.dumps(document), "utf-8")
    process = start("run", "chain.json", "--nodes", PACK, "--json")
    assert process.stdout is not None
    seen: set[tuple[str, str | None]] = set()
    for line in process.stdout:
        event = json.loads(line)
        seen.add((event["event"], event.get("node")))
        if {("finished", "add"), ("progress", "slow")} <= seen:
            break
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 130
    plan = json.loads(finish(start("plan", "chain.json", "--nodes", PACK, "--json")).out)
    actions = {step["node"]: step["action"] for step in plan["steps"]}
    assert actions["add"] in ("cached", "skipped")
    assert actions["slow"] == "run"


def test_a_reader_that_goes_away_stops_the_run(chain: Path) -> None:
    process = begin(*SLOW)
    assert process.stdout is not None
    process.stdout.close()
    ran = finish(process)
    assert ran.code != 0
    assert "Traceback" not in ran.err and "bug" not in ran.err


def test_output_into_a_pipe_that_closes() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start("nodes", stdout=writer)
    os.close(writer)
    error = finish(process).err
    assert "Traceback" not in error and "Exception" not in error
