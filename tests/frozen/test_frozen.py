"""What version 0.1.0 wrote stays as it was written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

FORMATS = sorted(path for path in Path(__file__).resolve().parent.iterdir() if path.name.isdecimal())


@pytest.mark.parametrize("folder", FORMATS, ids=lambda path: path.name)
def test_the_frozen_files_are_unchanged(folder: Path) -> None:
    sums = dict(reversed(line.split("  ", 1)) for line in (folder / "SHA256SUMS").read_text("utf-8").splitlines())
    there = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS" and "__pycache__" not in path.parts
    }
    assert there == sums


def test_every_folder_of_frozen_files_is_of_a_format() -> None:
    assert [path.name for path in FORMATS][:1] == ["1"]
