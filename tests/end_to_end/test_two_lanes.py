"""Two lanes give the files that one gives, byte for byte; ``python -m tests.runners.lanes`` says so of every workflow."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
import torch

from graphflow.document.embedded import embedded_texts
from tests.end_to_end.two_lanes import drawn


@pytest.mark.parametrize("name", ["compare_samplers", "prompt_list"])
def test_two_lanes_give_the_same_files_as_one(name: str, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one, _ = drawn(name, tmp_path / "one", "cpu")
        two, lanes = drawn(name, tmp_path / "two", "cpu*2")
    finally:
        torch.set_num_threads(before)
    assert len(lanes) == 2
    assert one and one == two


def test_a_picture_tells_the_threads_of_its_lane(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        files, _ = drawn("txt2img", tmp_path, "cpu*2")
    finally:
        torch.set_num_threads(before)
    (record,) = (json.loads((embedded_texts(BytesIO(data)) or {})["graphflow.record"]) for data in files.values())
    assert record["threads"] == 1 and "mixed" not in record
