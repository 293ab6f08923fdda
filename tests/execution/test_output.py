"""What effects write: names, never over anything, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow.basics import atomic
from graphflow.errors import InvalidInputError
from graphflow.execution.output import place, require_folder, safe_stem


def put(folder: Path, stem: str, data: bytes) -> tuple[str, str]:
    file = place(folder, stem, ".png", data, hashlib.sha256(data).hexdigest(), fresh="written")
    return file.path.name, file.how


def test_names_count_up_and_nothing_is_overwritten(tmp_path: Path) -> None:
    assert put(tmp_path, "cat", b"one") == ("cat_00001.png", "written")
    assert put(tmp_path, "cat", b"two") == ("cat_00002.png", "written")
    assert put(tmp_path, "cat", b"one") == ("cat_00001.png", "up to date")
    (tmp_path / "cat_00001.png").unlink()
    assert put(tmp_path, "cat", b"three") == ("cat_00001.png", "written")
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"three", b"two"]


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("a/b", "a_b"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "output"),
        ("", "output"),
        ("C:\\temp\\x", "C_temp_x"),
        ("a\x00b\nc", "a_b_c"),
        ("con", "_con"),
        ("nul.txt", "_nul.txt"),
        ("trailing. ", "trailing"),
    ],
)
def test_unsafe_names_are_made_safe(stem: str, expected: str) -> None:
    assert safe_stem(stem) == expected


@given(st.text(max_size=300))
def test_any_name_stays_in_its_folder(stem: str) -> None:
    name = safe_stem(stem)
    assert name not in ("", ".", "..")
    assert not set(name) & set('/\\:*?"<>|\x00')
    assert (Path("out") / name).parent == Path("out")
    assert len(name) <= 121 and len(name.encode("utf-8")) <= 221
    assert safe_stem(name) == name


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("a/b", "a/b"),
        ("a\\b/c", "a/b/c"),
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/./x", "etc/x"),
        ("C:\\temp\\x", "C_/temp/x"),
        ("con/nul.txt", "_con/_nul.txt"),
        ("/", "output"),
        ("...", "output"),
    ],
)
def test_folders_in_names_stay_below_the_output_folder(stem: str, expected: str, tmp_path: Path) -> None:
    data = b"data"
    file = place(tmp_path, stem, ".png", data, hashlib.sha256(data).hexdigest(), fresh="written")
    assert file.path == tmp_path / f"{expected}_00001.png"
    assert file.path.read_bytes() == data


def test_a_folder_that_is_a_link_is_not_left_by(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "away").symlink_to(tmp_path)
    with pytest.raises(InvalidInputError, match="leads out of the output folder"):
        put(tmp_path / "out", "away/x", b"data")
    assert not list(tmp_path.glob("*.png"))


def test_many_writers_of_one_name_lose_nothing(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for index in range(20):
            put(tmp_path, "same", f"{number}-{index}".encode())

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    contents = [path.read_text("utf-8") for path in tmp_path.iterdir()]
    assert sorted(contents) == sorted(f"{number}-{index}" for number in range(6) for index in range(20))
    assert len(contents) == 120


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", "utf-8")
    with pytest.raises(InvalidInputError, match="cannot write there") as caught:
        put(tmp_path / "file", "x", b"data")
    assert caught.value.exit_code == 2
    assert "--out" in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 300, "new/x/" + "y" * 300])
def test_a_folder_whose_name_the_system_refuses_is_told_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot write there: file name too long"):
        require_folder(tmp_path / name)
    require_folder(tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_not_the_same_and_stays(tmp_path: Path) -> None:
    (tmp_path / "cat_00001.png").mkdir()
    size = (tmp_path / "cat_00001.png").stat().st_size
    assert put(tmp_path, "cat", b"x" * size) == ("cat_00002.png", "written")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    target = tmp_path / "x.png"
    for write in (atomic.write_bytes, atomic.write_new):
        with pytest.raises(OSError, match="No space left"):
            write(target, b"data")
        assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_hard_links_still_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert atomic.write_new(tmp_path / "x", b"one")
    assert not atomic.write_new(tmp_path / "x", b"two")
    assert (tmp_path / "x").read_bytes() == b"one"


@pytest.mark.parametrize("nameless", [True, False])
def test_of_two_that_write_one_name_one_is_told(
    nameless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    assert atomic.write_new(tmp_path / "new" / "file", [b"one", b"two"])
    assert not atomic.write_new(tmp_path / "new" / "file", b"other")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "new").iterdir()] == [("file", b"onetwo")]
