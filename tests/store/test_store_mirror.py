"""An object store behind the folder: what one machine stores, another one finds."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
import torch

from graphflow.errors import StoreError
from graphflow.store import Encoded, MirroredTier

Key = Callable[[object], str]
Machine = Callable[[str], MirroredTier]
CAP = 1 << 30
VALUE = Encoded("any", {"a": 1}, {"large": torch.arange(9000.0), "small": torch.ones(2)}, {"node": "n"})


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place of its own in a file system of fsspec's."""
    url = f"memory://{secrets.token_hex(8)}" if request.param == "memory" else (tmp_path / "far").as_uri()
    yield url
    far, base = fsspec.core.url_to_fs(url)
    if far.exists(base):
        far.rm(base, recursive=True)


@pytest.fixture
def machine(tmp_path: Path, url: str) -> Machine:
    """Gives the tier of a machine by its name, with a folder that no other has."""
    return lambda name: MirroredTier(tmp_path / name, CAP, url)


def test_another_machine_finds_a_value(machine: Machine, key: Key) -> None:
    assert machine("one").put(key(0), VALUE)
    two = machine("two")
    assert two.contains(key(0))
    assert two.made(key(0)) == {"node": "n"}
    found = two.get(key(0))
    assert found is not None
    assert found.data == VALUE.data
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in VALUE.tensors.items())
    assert not two.contains(key(1))
    assert two.get(key(1)) is None


def test_another_machine_finds_a_file(machine: Machine, key: Key, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"picture" * 1000)
    assert machine("one").put_file(key(0), tmp_path / "picture.png")
    two = machine("two")
    assert two.contains(key(0))
    assert two.copy_file(key(0), tmp_path / "copy.png")
    assert (tmp_path / "copy.png").read_bytes() == (tmp_path / "picture.png").read_bytes()


def test_what_one_forgets_nobody_finds(machine: Machine, key: Key) -> None:
    one = machine("one")
    one.put(key(0), VALUE)
    one.evict(key(0))
    assert not machine("two").contains(key(0))


@pytest.mark.parametrize("kind", ["/objects/", ""])
def test_a_damaged_file_is_a_miss_and_is_stored_anew(machine: Machine, key: Key, url: str, kind: str) -> None:
    one = machine("one")
    one.put(key(0), VALUE)
    far, base = fsspec.core.url_to_fs(url)
    path = next(path for path in far.find(base) if (kind in path if kind else "/objects/" not in path))
    content = far.cat_file(path)
    far.pipe_file(path, content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    assert machine("two").get(key(0)) is None
    assert machine("two").put(key(0), VALUE)
    assert machine("three").get(key(0)) is not None


def test_where_the_object_store_fails_the_folder_counts(
    machine: Machine, key: Key, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = machine("one")

    def fail(*_: object, **__: object) -> None:
        raise PermissionError("no")

    with monkeypatch.context() as broken:
        for name in ("put_file", "exists", "open"):
            broken.setattr(one._far, name, fail)
        assert one.put(key(0), VALUE)
        assert one.get(key(0)) is not None
        assert not one.contains(key(1))
    assert [record.message.count("PermissionError") for record in caplog.records] == [1]


def test_an_unknown_kind_of_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nosuch://there: cannot be opened.*docs/deploy.md"):
        MirroredTier(tmp_path, CAP, "nosuch://there")
