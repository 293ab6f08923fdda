"""``graphflow run`` with ``--vary`` and ``--rows``, as a person and as a program see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Command


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def numbers() -> list[str]:
    return sorted(path.read_text("utf-8") for path in Path("out").glob("*.txt"))


def test_each_with_each_side_by_side_and_from_a_table(packed: Command, chain: Path) -> None:
    ran = packed("run", chain, "--vary", "seed=1..2", "--vary", "add.by=0.5,1", "-i", "steps=8")
    assert (ran.code, numbers()) == (0, ["2.5", "3.0", "3.5", "4.0"])
    assert "4 variants: 4 files written" in ran.out and ran.out.splitlines()[-1].endswith("chain-sweep_00001.json")
    assert len([line for line in ran.err.splitlines() if line.startswith(("0: ", "1: ", "2: ", "3: "))]) == 4
    zipped = packed("run", chain, "--vary", "seed=1..2", "--vary", "add.by=0.5,1", "-i", "steps=8", "--zip", "--json")
    rows = [
        (row["values"], *[Path("out", name).read_text("utf-8") for name in row["files"]])
        for row in lines(zipped.out)[-1]["variants"]
    ]
    assert rows == [({"seed": 1, "add.by": 0.5}, "2.5"), ({"seed": 2, "add.by": 1.0}, "4.0")]
    assert not [event for event in lines(zipped.out) if event["event"] == "started"]
    Path("t.csv").write_text("seed,name\n10,ten\n20,twenty\n", "utf-8")
    table = packed("run", chain, "--rows", "t.csv", "--set", "add.by=0.5", "--quiet")
    assert [Path(line).name for line in table.out.splitlines()] == ["ten_00001.txt", "twenty_00001.txt"]


def test_a_dry_run_counts_and_writes_nothing(packed: Command, chain: Path) -> None:
    packed("run", chain, "--vary", "seed=1..2")
    ran = packed("run", chain, "--vary", "seed=1..5", "--vary", "add.by=2.0,3", "--dry-run", "--json")
    (told,) = lines(ran.out)
    assert {name: told[name] for name in ("variants", "run", "cached", "write", "stored")} == {
        "variants": 10, "run": 11, "cached": 4, "write": 10, "stored": 2,
    }  # fmt: skip
    assert len(numbers()) == 2
    assert "10 variants (5 seed × 2 add.by)" in packed(
        "run", chain, "--vary", "seed=1..5", "--vary", "add.by=2.0,3", "--dry-run"
    ).out  # fmt: skip


def test_what_fails_is_told_at_the_end_and_the_others_are_there(packed: Command) -> None:
    document = {
        "graphflow": 2,
        "nodes": {
            "good": {"type": "pack_draw"},
            "bad": {"type": "pack_fail", "links": {"x": "good"}},
            "which": {"type": "switch", "params": {"select": True}, "links": {"on_true": "good", "on_false": "bad"}},
            "save": {"type": "pack_save", "links": {"x": "which"}},
        },
    }
    Path("some.json").write_text(json.dumps(document), "utf-8")
    ran = packed("run", "some.json", "--vary", "which.select=false,true")
    assert (ran.code, len(numbers())) == (1, 1)
    assert "1 of 2 variants failed, first that with which.select = False" in " ".join(ran.err.split())
    assert "by design" in ran.err and "Traceback" not in ran.err
    assert "by design" in Path("out/some-sweep_00001.csv").read_text("utf-8").splitlines()[1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--vary", "seed"], "'seed' is no assignment"),
        (["--vary", "sead=1"], "did you mean 'seed'?"),
        (["--vary", "seed=1", "-i", "seed=2"], "a name that is varied is given nowhere else"),
        (["--vary", "seed=1", "--set", "draw.seed=2"], "set the same parameter"),
        (["--vary", "seed=1,x"], "--vary seed: nodes.draw.params.seed: must be a whole number, got 'x'"),
        (["--batch", "auto"], "nothing is varied"),
        (["--zip"], "nothing is varied"),
        (["--rows", "absent.csv"], "does not exist"),
    ],
)
def test_what_is_wrong_is_told_with_the_way_out(packed: Command, chain: Path, options: list[str], told: str) -> None:
    ran = packed("run", chain, *options)
    assert ran.code == 2 and told in " ".join(ran.err.replace("│", " ").split())
    assert not Path("out").exists()
