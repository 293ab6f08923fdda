from __future__ import annotations

import hashlib
import os
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.fingerprint import BLOCK_BYTES, DigestIndex, file_fingerprint, folder_fingerprint
from tests.models.weight_shapes import write_header


def compute(folder: str, path: str) -> str:
    return DigestIndex(Path(folder)).sha256(Path(path))


def test_a_small_file_counts_whole(tmp_path: Path) -> None:
    path = write_header(tmp_path / "a.safetensors", {"x": (1000,)})
    seen = {file_fingerprint(path)}
    raw = path.read_bytes()
    for position in (len(raw) - 2000, len(raw) - 1000, len(raw) - 1):
        path.write_bytes(raw[:position] + b"\1" + raw[position + 1 :])
        seen.add(file_fingerprint(path))
    assert len(seen) == 4


def test_a_large_file_counts_by_header_size_and_blocks(tmp_path: Path) -> None:
    shapes = {"x": (8_000_000,)}
    first = file_fingerprint(write_header(tmp_path / "a.safetensors", shapes))
    assert first == file_fingerprint(write_header(tmp_path / "b.safetensors", shapes))
    path = tmp_path / "b.safetensors"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - BLOCK_BYTES)
        file.write(b"\1")
    assert file_fingerprint(path) != first
    assert file_fingerprint(write_header(path, shapes, metadata={"a": "b"})) != first
    assert file_fingerprint(write_header(path, {"x": (8_000_001,)})) != first


def test_a_folder_counts_names_and_contents_in_any_order() -> None:
    files = [("unet/a", "1"), ("vae/a", "2")]
    assert folder_fingerprint(files) == folder_fingerprint(files[::-1])
    assert folder_fingerprint(files) != folder_fingerprint([("unet/a", "2"), ("vae/a", "1")])


def test_full_digests_are_right_and_remembered(tmp_path: Path) -> None:
    path, index = tmp_path / "a.bin", DigestIndex(tmp_path / "cache")
    path.write_bytes(b"abc")
    assert index.known(path) is None
    assert index.sha256(path) == hashlib.sha256(b"abc").hexdigest()
    assert DigestIndex(tmp_path / "cache").known(path) == hashlib.sha256(b"abc").hexdigest()
    path.write_bytes(b"abd")
    assert index.known(path) is None
    assert index.sha256(path) == hashlib.sha256(b"abd").hexdigest()


def test_a_replaced_file_of_the_same_time_and_size_is_seen(tmp_path: Path) -> None:
    path, index = tmp_path / "a.bin", DigestIndex(tmp_path / "cache")
    path.write_bytes(b"abc")
    index.sha256(path)
    state = path.stat()
    other = tmp_path / "b.bin"
    other.write_bytes(b"abd")
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.replace(path)
    assert index.sha256(path) == hashlib.sha256(b"abd").hexdigest()


@pytest.mark.parametrize("damage", [b"not a database at all, but long enough to be read as one" * 40, b""])
def test_a_damaged_index_is_replaced(tmp_path: Path, damage: bytes) -> None:
    path, cache = tmp_path / "a.bin", tmp_path / "cache"
    path.write_bytes(b"abc")
    cache.mkdir()
    (cache / "digests.sqlite").write_bytes(damage)
    for _ in range(2):
        assert DigestIndex(cache).sha256(path) == hashlib.sha256(b"abc").hexdigest()
    DigestIndex(cache).sha256(path)
    with sqlite3.connect(cache / "digests.sqlite") as database:
        assert database.execute("SELECT count(*) FROM digest").fetchone() == (1,)
    database.close()


def test_processes_share_the_index(tmp_path: Path) -> None:
    paths = []
    for number in range(12):
        paths.append(tmp_path / f"{number}.bin")
        paths[-1].write_bytes(str(number).encode())
    work = [str(path) for path in paths] * 3
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        results = list(pool.map(compute, [str(tmp_path / "cache")] * len(work), work))
    assert results == [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in work]
    index = DigestIndex(tmp_path / "cache")
    assert all(index.known(path) for path in paths)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="cannot be read"):
        DigestIndex(tmp_path).sha256(tmp_path / "nowhere")
    with pytest.raises(ModelFormatError, match="cannot be read"):
        file_fingerprint(tmp_path / "nowhere")


def test_a_blob_of_the_hub_is_named_by_its_digest(tmp_path: Path) -> None:
    digest = "ab" * 32
    blobs = tmp_path / "models--some--model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / digest).write_bytes(b"not what was fetched, which nobody reads")
    link = tmp_path / "models--some--model" / "snapshots" / "1" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(blobs / digest)
    assert DigestIndex(tmp_path / "cache").sha256(link) == digest
    (blobs / "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391").write_bytes(b"")  # a small file, named otherwise
    small = DigestIndex(tmp_path / "cache").sha256(blobs / "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
    assert small == hashlib.sha256(b"").hexdigest()
