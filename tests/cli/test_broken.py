"""Every broken workflow is refused with all of its problems, each with its place, the value and the way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphflow.errors import Problem
from tests.cli.commands import BROKEN, Command

FOUND_BY_PLANNING = {"division_by_zero"}
CASES = sorted(BROKEN.glob("*.json"))


def lines(problems: list[dict[str, str]]) -> list[str]:
    return [str(Problem(problem["path"], problem["message"], problem["advice"])) for problem in problems]


def expected(case: Path) -> list[str]:
    return case.with_suffix(".txt").read_text("utf-8").splitlines()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_all_problems_are_named(case: Path, graphflow: Command) -> None:
    files = [] if case.stem in FOUND_BY_PLANNING else ["--no-files"]
    ran = graphflow("validate", case, "--json", *files)
    assert ran.code == 2
    assert lines(json.loads(ran.out)["problems"]) == expected(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_none_is_run(case: Path, graphflow: Command, home: Path) -> None:
    ran = graphflow("run", case, "--out", "out")
    assert ran.code == 2
    assert ran.out == ""
    assert "Traceback" not in ran.err
    for line in expected(case):
        assert line.partition(": ")[0] in ran.err
    assert not Path("out").exists()


def test_there_are_many() -> None:
    assert len(CASES) >= 40
    assert {case.stem for case in CASES} == {text.stem for text in BROKEN.glob("*.txt")}


def test_files_that_are_missing_are_named_with_the_rest(graphflow: Command) -> None:
    Path("broken.json").write_text(
        json.dumps(
            {
                "graphflow": 2,
                "nodes": {
                    "checkpoint": {"type": "load_checkpoint", "params": {"model": "no-such-model"}},
                    "picture": {"type": "load_image", "params": {"file": "no-such-picture.png"}},
                    "resized": {"type": "resize", "params": {"width": -1}, "links": {"images": "picture"}},
                },
                "outputs": {"x": "resized", "y": "checkpoint"},
            }
        ),
        "utf-8",
    )
    for command in ("validate", "plan", "run"):
        ran = graphflow(command, "broken.json")
        assert ran.code == 2
        assert "nodes.checkpoint.params.model" in ran.err
        assert "no-such-picture.png" in ran.err
        assert "must be ≥ 0, got -1" in ran.err


@pytest.mark.parametrize("files", [[], ["--no-files"]])
def test_what_is_written_is_checked_below_what_the_line_gives(files: list[str], graphflow: Command) -> None:
    document = {
        "graphflow": 2,
        "inputs": {"value": {"to": ["n.value"]}},
        "nodes": {"n": {"type": "int_value", "params": {"value": "many"}}},
        "outputs": {"y": "n"},
    }
    Path("covered.json").write_text(json.dumps(document), "utf-8")
    for given in (["-i", "value=3"], ["--set", "n.value=3"]):
        ran = graphflow("validate", "covered.json", *given, *files)
        assert ran.code == 2 and "nodes.n.params.value: must be a whole number, got 'many'" in ran.err
    document["nodes"] = {"n": {"type": "int_value"}}
    Path("open.json").write_text(json.dumps(document), "utf-8")
    assert graphflow("validate", "open.json", "-i", "value=3", *files).code == 0
    assert graphflow("validate", "open.json", *files).code == 2
