"""What is varied, as people write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graphflow.errors import GraphflowError
from graphflow.planning.expand import Text
from graphflow.sweeps.axes import Variants, combined, make_axis, parse_axis, read_rows


def plain(value: Any) -> Any:
    return value.text if isinstance(value, Text) else value


def values(text: str) -> list[Any]:
    axis = parse_axis(text)
    return [plain(row[axis.names[0]]) for row in axis.rows]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("seed=1..4", ["1", "2", "3", "4"]),
        ("seed=4..2", ["4", "3", "2"]),
        ("seed=-1..1", ["-1", "0", "1"]),
        ("seed=1..7..3", ["1", "4", "7"]),
        ("scale=0..1..0.25", ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        ("seed=1..3,7, 9..10", ["1", "2", "3", "7", "9", "10"]),
        ("a.b=1.5, 2 ,x=y", ["1.5", "2", "x=y"]),
        ("prompt=", [""]),
        ('prompt=["a, b", 3, null, [1]]', ["a, b", 3, None, [1]]),
        ("prompt=@lines.txt", ["a red circle, small", "@home [x]"]),
        ("prompt=@list.json", ["a\nb", 1]),
    ],
)
def test_values_of_one_name(text: str, wanted: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text("\ufeffa red circle, small\n\n@home [x]\n", "utf-8")
    Path("list.json").write_text('["a\\nb", 1]', "utf-8")
    assert values(text) == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("seed", "'seed' is no assignment"),
        ("=1", "is no assignment"),
        ("seed=[]", "there is no value"),
        ("seed=@empty.txt", "there is no value"),
        ("seed=@absent.txt", "cannot be read"),
        ("seed=@latin.txt", "no text in UTF-8"),
        ('prompt=["a"', "a text that begins with a bracket"),
        ("prompt=@object.json", "must be a list"),
        ("scale=0..1.5", "a range of fractions needs a step"),
        ("seed=1..5..-1", "does not lead from 1 to 5"),
        ("seed=1..5..0", "does not lead from 1 to 5"),
        ("seed=1..99999999999", "more than 100,000"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n", "utf-8")
    Path("latin.txt").write_bytes(b"\xe9")
    Path("object.json").write_text("{}", "utf-8")
    with pytest.raises(GraphflowError) as caught:
        parse_axis(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("t.csv", 'seed, prompt\n1,"a, b"\n2,\n\n3,c\n', [{"seed": "1", "prompt": "a, b"}, {"seed": "2"}, {"seed": "3", "prompt": "c"}]),
        ("t.jsonl", '{"seed": 1, "x.y": true}\n\n{"seed": 2}\n', [{"seed": 1, "x.y": True}, {"seed": 2}]),
    ],
)  # fmt: skip
def test_a_row_a_run(name: str, content: str, wanted: list[Any], tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    axis = read_rows(tmp_path / name)
    assert [{key: plain(value) for key, value in row.items()} for row in axis.rows] == wanted


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [
        ("t.csv", "seed,seed\n1,2\n", ["line 1"]),
        ("t.csv", "seed,\n1,2\n", ["a column has no name"]),
        ("t.csv", 'seed\n"1\n', ["is no CSV"]),
        ("t.csv", "seed\n", ["must be rows"]),
        ("t.csv", "seed\n1,2\n3,4\n", ["line 2: 2 cells, but the first line names 1", "line 3"]),
        ("t.jsonl", '{"seed": 1}\n[1]\n{"seed"\n', ["line 2: must be an object", "line 3, column 8: this is no JSON"]),
        ("t.xlsx", "", ["give a .csv or .jsonl file"]),
    ],
)
def test_a_damaged_table_names_each_line(name: str, content: str, problems: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(GraphflowError) as caught:
        read_rows(tmp_path / name)
    assert all(problem in str(caught.value) for problem in problems)


def test_each_with_each_and_side_by_side() -> None:
    axes = [make_axis("a", [1, 2], place="a"), make_axis("b", "xy,z", place="b")]
    rows = [{name: plain(value) for name, value in row.items()} for row in Variants(axes)]
    assert rows == [{"a": 1, "b": "xy"}, {"a": 1, "b": "z"}, {"a": 2, "b": "xy"}, {"a": 2, "b": "z"}]
    rows = [{name: plain(value) for name, value in row.items()} for row in Variants(combined(axes, zip=True))]
    assert rows == [{"a": 1, "b": "xy"}, {"a": 2, "b": "z"}]
    with pytest.raises(GraphflowError, match="a has 2 values, c has 1 value"):
        combined([axes[0], make_axis("c", [1], place="c")], zip=True)
    with pytest.raises(GraphflowError, match="nothing is varied"):
        combined([], zip=True)
    with pytest.raises(GraphflowError, match="varied twice"):
        Variants([axes[0], axes[0]])
    with pytest.raises(GraphflowError, match=r"1,000,000 variants are more than 100,000"):
        Variants([make_axis(name, range(1000), place=name) for name in "ab"])
