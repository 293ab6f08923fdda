"""What stands between two % in file names."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from graphflow import events
from graphflow.document.document import Document, parse
from graphflow.execution.filenames import FileNames
from tests.conftest import ToySession


def document(name: str, **params: Any) -> Document:
    nodes = {
        "load": {"type": "toy_load", "params": {"name": "some/model"}},
        "draw": {"type": "toy_sample", "params": {"seed": 7, **params}, "links": {"model": "load"}, "title": "The one"},
        "more": {"type": "toy_add", "params": {"y": 2.0}, "links": {"x": "draw"}},
        "save": {"type": "toy_write", "params": {"name": name}, "links": {"x": "more"}},
    }
    return parse({"graphflow": 1, "inputs": {"number": {"to": ["draw.seed"]}}, "nodes": nodes})


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("%date:yyyy-MM-dd%/%date:h.m.s%", "2024-03-07/9.5.2"),
        ("%date:%", "20240307090502"),
        ("%year%%month%%day%-%hour%%minute%%second%", "20240307-090502"),
        ("%draw.seed%", "7"),
        ("%The one.sampler%", "euler"),  # a default
        ("%seed% %steps% %sampler%", "7 3 euler"),  # the nearest node's
        ("%number%", "7"),  # an exposed input
        ("%y%", "2"),
        ("%load.name%", "some_model"),  # no folder
        ("%draw.model% %nobody.x% %nothing% 100% %", "%draw.model% %nobody.x% %nothing% 100% %"),
        ("plain", "plain"),
    ],
)
def test_tokens(name: str, wanted: str, toys: ToySession) -> None:
    plan = toys.fresh().plan(document(name))
    filled, left = FileNames(plan, datetime(2024, 3, 7, 9, 5, 2))("save", name)
    assert filled == wanted
    assert bool(left) == ("nobody" in name)


def test_the_document_keeps_them_and_a_stored_file_gets_a_new_name(toys: ToySession) -> None:
    notices: list[str] = []

    def sink(event: events.Event) -> None:
        if isinstance(event, events.Notice):
            notices.append(event.message)

    session = toys.fresh()
    for turn in ({}, {"number": 8}):
        result = session.run(document("x/%number%-%nothing%"), turn, out=toys.out, sink=sink)
    assert [path.relative_to(toys.out) for path in result.paths] == [Path("x/8-%nothing%_00001.txt")]
    assert (toys.out / "x" / "7-%nothing%_00001.txt").exists()
    assert "x/%number%-%nothing%" in str(result.plan.steps["save"].record)
    assert notices == ["%nothing% names nothing and stays in the file name"] * 2
    again = session.run(document("x/%number%-%nothing%"), out=toys.folder / "other")
    assert [file.how for file in again.files["save"]] == ["copied"]
    assert again.paths == [toys.folder / "other" / "x" / "7-%nothing%_00001.txt"]
