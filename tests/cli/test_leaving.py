"""The end of the process: nothing that was begun is lost, and the exit code stands."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from graphflow.basics.importing import collector_paused
from tests.cli.commands import finish, start

LEAVE = """
import atexit, sys, threading, time
from graphflow.cli.leaving import leave
def slow():
    time.sleep(0.2)
    print("thread")
atexit.register(lambda: print("at exit"))
threading.Thread(target=slow).start()
sys.stdout.write("first\\n")
leave(7)
"""
PROGRAM = ("-c", "import sys; sys.argv[0] = 'graphflow'; from graphflow.cli import program; program()")


def test_threads_end_and_what_was_registered_runs() -> None:
    ran = finish(start(before=("-c", LEAVE)))
    assert (ran.code, ran.out) == (7, "first\n")
    assert ran.err.split("\n") == ["thread", "at exit", ""]


def test_the_console_script_gives_all_of_its_output_and_its_code() -> None:
    ran = finish(start("schema", before=PROGRAM))
    assert ran.code == 0 and ran.out.rstrip().endswith("}")
    ran = finish(start("run", "nowhere.json", before=PROGRAM))
    assert ran.code == 2 and "nowhere.json" in ran.err


def test_the_collector_is_paused_and_left_as_it_was() -> None:
    assert gc.isenabled()
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_cannot_be_written_is_no_success() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        assert finish(start(before=("-c", LEAVE.replace("leave(7)", "leave(0)")), stdout=full)).code == 1
