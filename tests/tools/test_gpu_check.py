"""The checks for a CUDA device, as far as the CPU goes: what they report, and that nothing passes unseen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.gpu_check import memory
from tools.gpu_check.__main__ import PAGE, main
from tools.gpu_check.checks import CHECKS
from tools.gpu_check.machine import Machine
from tools.gpu_check.page import page
from tools.gpu_check.rows import FAILED, NOT_REACHED, PASSED, Check, Report, Row, Speed, at_most, run


def passing(machine: Machine) -> Iterator[Row | Speed]:
    yield at_most("fine", 0.5, 1.0)
    yield Speed("a | model", "s", 1.0, 2.0)


def failing(machine: Machine) -> Iterator[Row]:
    yield at_most("too much", 2.0, 1.0)


def no_number(machine: Machine) -> Iterator[Row]:
    yield at_most("nothing", float("nan"), 1.0)


def raising(machine: Machine) -> Iterator[Row]:
    yield at_most("before", 0.0, 1.0)
    raise ValueError("broken | pipe")


def silent(machine: Machine) -> Iterator[Row]:
    yield from ()


def ran(tmp_path: Path, *checks: Check, minutes: float = 1.0) -> Report:
    reports: list[Report] = []
    report = run(checks, Machine("cpu", tmp_path, minutes), reports.append)
    assert reports[-1] is report
    return report


def states(report: Report) -> list[tuple[str, str]]:
    return [(row.what, row.state) for check in report.checks for row in report.rows(check)]


def test_the_cpu_runs_a_selection_and_writes_elsewhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = PAGE.read_text("utf-8")
    out = tmp_path / "page.md"
    assert main(["--device", "cpu", "--only", "noise", "attention", "--out", str(out)]) == 0
    text = out.read_text("utf-8")
    assert "| device | the CPU alone |" in text
    assert text.count(f"| {PASSED} |") >= 10 and FAILED not in text and NOT_REACHED not in text
    assert PAGE.read_text("utf-8") == before
    assert "passed" in capfd.readouterr().out


def test_a_rung_is_judged_by_what_the_run_says(tmp_path: Path) -> None:
    row = next(memory.ladder(Machine("cpu", tmp_path, 1.0)))
    assert (row.state, "rungs [1], error 0" in row.figure) == (PASSED, True)


@pytest.mark.parametrize(
    ("function", "what"), [(failing, "too much"), (no_number, "nothing"), (raising, "broken"), (silent, "broken")]
)
def test_a_failure_is_told_and_stops_nothing(tmp_path: Path, function: object, what: str) -> None:
    bad = Check("bad", "broken", function, 0)  # type: ignore[arg-type]
    report = ran(tmp_path, bad, Check("good", "good", passing, 0))
    assert report.exit_code == 1
    assert (what, FAILED) in states(report)
    assert ("fine", PASSED) in states(report)
    text = page(report, {"device": "none"}, "a day")
    assert f"| bad | {what} |" in text and f"| {FAILED} |" in text
    if function is raising:
        assert ("before", PASSED) in states(report)
        assert "ValueError: broken \\| pipe" in text


def test_all_that_passes_exits_0_and_speeds_have_ratios(tmp_path: Path) -> None:
    report = ran(tmp_path, Check("good", "good", passing, 0), Check("gpu", "only there", failing, 0, needs_cuda=True))
    assert report.exit_code == 0
    assert states(report) == [("fine", PASSED), ("only there", "needs CUDA")]
    assert "| a \\| model | s | 1 | 2 | 0.50 |" in page(report, {}, "a day")


def test_what_the_time_does_not_suffice_for_is_not_passed(tmp_path: Path) -> None:
    report = ran(tmp_path, Check("quick", "quick", passing, 1), Check("slow", "slow", passing, 3600))
    assert states(report) == [("fine", PASSED), ("slow", NOT_REACHED)]
    assert report.exit_code == 1
    late = ran(tmp_path, Check("late", "late", passing, -3600), minutes=0.0)
    assert states(late) == [("fine", PASSED), ("late: the rest", NOT_REACHED)]
    assert late.exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--device", "cpu", "--only", "nosuch"],
        ["--device", "cpu", "--write"],
        ["--device", "cpu", "--out", str(PAGE)],
    ],
)
def test_wrong_use_exits_2_and_writes_nothing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = PAGE.read_text("utf-8")
    assert main(arguments) == 2
    assert capsys.readouterr().err
    assert PAGE.read_text("utf-8") == before


def test_a_page_without_a_run_says_so() -> None:
    text = page(Report(CHECKS), None, "")
    assert "Not run yet on a CUDA device" in text and PASSED not in text.partition("| check |")[2]
    assert "python -m tools.gpu_check" in text
    if "Not run yet" in (there := PAGE.read_text("utf-8")):
        assert there == text
