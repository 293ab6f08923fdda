"""A worker carries commands out as they would be carried out by themselves."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from graphflow.cli import handing, main, working
from graphflow.cli import options as cli_options
from graphflow.loading import devices
from graphflow.session import Session
from tests.cli.commands import PACK, Command, Ran, finish, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sockets of POSIX")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the worker a folder of its own."""
    folder = tmp_path / "runtime"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def worker(runtime: Path) -> Iterator[Path]:
    """Start a worker, and end it."""
    assert main(["worker", "start", "--minutes", "2"]) == 0
    yield runtime / "graphflow"
    assert main(["worker", "stop"]) == 0
    assert handing.ask({"do": "status"}) is None


def shown(ran: Ran) -> tuple[int, list[str], list[str]]:
    """Return what a command showed, without times, widths of columns and the order of events."""
    times = r'(< )?[\d.]+ m?s\b|"(run_id|seconds)": ("\w+"|[\d.e-]+|{.*?})'
    out, err = (re.sub(" +", " ", re.sub(times, "T", text)) for text in (ran.out, ran.err))
    return ran.code, sorted(out.splitlines()), sorted(err.splitlines())


def until_progress(*arguments: object) -> subprocess.Popen[str]:
    process = start(*arguments)
    assert process.stdout is not None
    while "progress" not in process.stdout.readline():
        pass
    return process


def test_commands_run_in_the_worker_as_by_themselves(worker: Path, chain: Path, graphflow: Command) -> None:
    run = ("run", chain, "--nodes", PACK)
    asked = [("--no-cache",), ("--no-cache", "-i", "seed=8", "--json"), ("-i", "steps=0")]
    for options in asked:
        alone = graphflow(*run, *options, "--out", "alone")
        handed = finish(start(*run, *options, "--out", "handed", "--worker"))
        assert shown(replace(handed, out=handed.out.replace("handed", "alone"))) == shown(alone)
    same = [sorted(path.read_bytes() for path in Path(name).iterdir()) for name in ("alone", "handed")]
    assert same[0] == same[1] and len(same[0]) == 2

    chain.write_text(chain.read_text("utf-8").replace('"seed": 7', '"seed": 7, "steps": 1000, "wait": 0.01'), "utf-8")
    process = until_progress(*run, "--json", "--worker")
    process.send_signal(signal.SIGINT)
    stopped = finish(process)
    assert stopped.code == 130 and '"exit_code": 130' in stopped.out

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHFLOW_DTYPE", "float32")
        other = graphflow(*run, "-i", "steps=2", "--worker")
    assert other.code == 0 and "other settings (GRAPHFLOW_DTYPE); running without it" in other.err

    gone = until_progress(*run, "-i", "seed=9", "--json", "--worker")
    gone.kill()  # nobody waits for the run any more, so it is stopped
    finish(gone)
    until = time.monotonic() + 60
    while (told := handing.ask({"do": "status"})) is not None and told["busy"]:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert told is not None and (told["done"], told["current"]) == (len(asked) + 2, True)


def test_without_a_worker_the_command_runs_by_itself(
    runtime: Path, chain: Path, packed: Command, graphflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert graphflow("worker", "status").code == 1
    assert "no worker" in graphflow("worker", "stop").out
    monkeypatch.setenv("GRAPHFLOW_WORKER", "1")
    ran = packed("run", chain)
    assert ran.code == 0 and "there is no worker" in ran.err


def test_a_folder_of_somebody_else_is_not_trusted(runtime: Path, chain: Path, packed: Command) -> None:
    place = runtime / "graphflow"
    place.mkdir(parents=True)
    place.chmod(0o777)
    code = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({str(place / 'worker.sock')!r}); s.listen(); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as listener:
        while not (place / "worker.sock").exists():
            time.sleep(0.01)
        assert "there is no worker" in packed("run", chain, "--worker").err
        listener.kill()


def test_what_is_loaded_is_let_go_where_memory_is_short(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, looked = [devices.main_memory()], threading.Event()
    short = working._memory_is_short
    monkeypatch.setattr(devices, "free_memory", lambda _: free[0])
    monkeypatch.setattr(cli_options, "_makers", list(cli_options._makers))
    monkeypatch.setattr(working, "_LOOK", 0.01)
    monkeypatch.setattr(working, "_memory_is_short", lambda: (short(), looked.set())[0])

    def after_a_look() -> Session:
        for _ in range(2):  # the first may have begun before
            looked.clear()
            assert looked.wait(60)
        return cli_options.Where().session({})

    place = runtime / "graphflow"
    place.mkdir(mode=0o700, parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "worker.sock"))
        listening.listen()
        serving = threading.Thread(target=working.Worker(2).serve, args=(listening,))
        serving.start()
        session = after_a_look()
        assert after_a_look() is session
        free[0] = devices.main_memory() // 20
        assert after_a_look() is not session
        assert handing.ask({"do": "stop"}) is not None
        serving.join()
