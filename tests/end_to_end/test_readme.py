"""The Python examples of the README and of docs/sweeps.md run as they stand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT

BLOCKS = [
    block
    for page in ("README.md", "docs/sweeps.md")
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
]


def test_the_examples_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    assert len(BLOCKS) >= 4
    for index, block in enumerate(BLOCKS):
        exec(compile(block, f"example {index}", "exec"), {})
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 2
    assert len(list((tmp_path / "sweep").glob("*.png"))) == 5
