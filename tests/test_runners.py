"""Long runs in parts: what is kept, what runs again, and how one goes on that was stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.runners import parts
from tests.runners.parts import Runner, source_digest

PARTS = ("one/a", "one/b", "two/a", "three")


class Toy:
    """A run whose parts give their own names; it is stopped before some."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran: list[str] = []
        self.bad: set[str] = set()
        self.stops: set[str] = set()
        self.reports: list[dict[str, Any]] = []

    def __call__(self, *words: str, digest: str = "now") -> int:
        self.ran.clear()
        runner = Runner(
            name="toy",
            about="A toy.",
            parts=PARTS,
            run=self.run,
            ok=lambda result: bool(result["ok"]),
            line=lambda result: str(result["name"]),
            report=lambda results, given: self.reports.append(dict(results)),
        )
        return parts.main(runner, words, kept=self.folder, digest=digest)

    def run(self, chosen: Sequence[str], given: Any) -> Iterator[tuple[str, Any]]:
        for part in chosen:
            if part in self.stops:
                raise KeyboardInterrupt
            self.ran.append(part)
            yield part, {"name": part, "ok": part not in self.bad}


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def test_finished_parts_do_not_run_again_and_the_report_comes_once_all_are_there(toy: Toy) -> None:
    assert toy("one") == 0
    assert (toy.ran, toy.reports) == (["one/a", "one/b"], [])
    assert toy() == 0
    assert toy.ran == ["two/a", "three"]
    assert [*toy.reports[0]] == [*PARTS]
    assert toy() == 0
    assert (toy.ran, len(toy.reports)) == ([], 2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["one/b"], ["one/b"]),
        (["*/a"], ["one/a", "two/a"]),
        (["three", "one"], ["one/a", "one/b", "three"]),
        (["--fresh", "two"], ["two/a"]),
    ],
)
def test_parts_are_named_by_word_group_and_pattern(toy: Toy, words: list[str], expected: list[str]) -> None:
    assert toy(*words) == 0
    assert toy.ran == expected


def test_an_unknown_part_runs_nothing(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        toy("one", "thre")
    assert (left.value.code, toy.ran) == (2, [])
    assert "did you mean 'three'?" in capsys.readouterr().err


def test_what_changed_or_failed_runs_again(toy: Toy) -> None:
    toy.bad = {"one/b"}
    assert toy() == 1
    toy.bad = set()
    assert toy() == 0
    assert toy.ran == ["one/b"]
    assert toy("two", digest="later") == 0
    assert (toy.ran, len(toy.reports)) == (["two/a"], 2)  # no report of results of two states
    assert toy(digest="later") == 0
    assert toy.ran == ["one/a", "one/b", "three"]
    assert toy("three", "--fresh", digest="later") == 0
    assert toy.ran == ["three"]


def test_one_that_was_stopped_goes_on(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.stops = {"two/a"}
    assert toy() == 130
    assert "goes on" in capsys.readouterr().err
    toy.stops = set()
    assert toy() == 0
    assert toy.ran == ["two/a", "three"]


def test_a_damaged_result_runs_again(toy: Toy) -> None:
    assert toy() == 0
    (toy.folder / "toy" / "one__a.json").write_text("{")
    (toy.folder / "toy" / "three.json").write_text("[]")
    assert toy() == 0
    assert toy.ran == ["one/a", "three"]


def test_the_list_says_how_each_part_stands(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.bad = {"one/b"}
    toy("one")
    toy("two", digest="before")
    capsys.readouterr()
    assert toy("--list") == 0
    assert toy.ran == []
    states = {line.split()[0]: line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()}
    assert states == {"one/a": "ok", "one/b": "not good", "two/a": "changed since", "three": "missing"}


def test_one_that_was_killed_goes_on(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
from pathlib import Path
from tests.runners.parts import Runner, main

def run(parts, given):
    for part in parts:
        if part == "b" and sys.argv[1] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        yield part, part

runner = Runner("toy", "", ["a", "b", "c"], run, ok=bool, line=str, report=lambda results, given: print("report", *results))
sys.exit(main(runner, [], kept=Path({str(tmp_path)!r}), digest="now"))
"""
    ran = [
        subprocess.run(
            [sys.executable, "-c", program, how], capture_output=True, text=True, cwd=parts.ROOT, check=False
        )
        for how in ("killed", "whole")
    ]
    assert ran[0].returncode == -signal.SIGKILL
    assert json.loads((tmp_path / "toy" / "a.json").read_text())["result"] == "a"
    assert ran[1].returncode == 0, ran[1].stderr
    assert "1 of 3 parts are kept from before" in ran[1].stdout and "report a b c" in ran[1].stdout


def test_the_digest_follows_what_decides_a_result(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("graphflow/a.py", "tests/data/b.bin", "tests/test_c.py", "docs/d.md")}
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    first = source_digest(tmp_path)
    changed = {}
    for name, path in files.items():
        path.write_text("2")
        changed[name] = source_digest(tmp_path) != first
        path.write_text("1")
    assert changed == {"graphflow/a.py": True, "tests/data/b.bin": True, "tests/test_c.py": False, "docs/d.md": False}
    assert source_digest(tmp_path) == first
