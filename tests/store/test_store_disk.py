"""The disk tier in one process: round trips, damage, least recently used, refusals."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import graphflow.store
from graphflow.errors import StoreError
from graphflow.store import DiskTier, Encoded
from graphflow.store.layout import Slot, pack_entry

Key = Callable[[object], str]
GIB = 1 << 30
QUANTISED = {torch.qint8, torch.qint32, torch.quint8, torch.quint2x4, torch.quint4x2}
DTYPES = sorted({x for x in vars(torch).values() if isinstance(x, torch.dtype)} - QUANTISED, key=str)
LARGE = (128, 129)


def bits(tensor: torch.Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def random_tensor(dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    count = int(torch.Size(shape).numel()) * dtype.itemsize
    limit = 2 if dtype == torch.bool else 256
    return torch.randint(0, limit, (count,), dtype=torch.uint8).view(dtype).reshape(shape)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "v1").rglob("*") if path.is_file())


def entries_of(folder: Path) -> list[Path]:
    return [path for path in files_of(folder) if "objects" not in path.parts]


def objects_of(folder: Path) -> list[Path]:
    return [path for path in files_of(folder) if "objects" in path.parts]


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch: some dtypes are experimental
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_comes_back_bit_for_bit(tmp_path: Path, key: Key, dtype: torch.dtype) -> None:
    shapes: list[tuple[int, ...]] = [(), (0,), (0, 3), (1,), (3, 5), (2, 1, 7), LARGE]
    tensors = {f"{shape}": random_tensor(dtype, shape) for shape in shapes}
    assert DiskTier(tmp_path, GIB).put(key(0), Encoded("any", None, tensors))
    found = DiskTier(tmp_path, GIB).get(key(0))
    assert found is not None
    assert list(found.tensors) == list(tensors)
    for name, tensor in tensors.items():
        assert bits(found.tensors[name]) == bits(tensor)
    assert found.nbytes == sum(tensor.nbytes for tensor in tensors.values())
    for path in files_of(tmp_path):  # other programs can read the files
        loaded = safetensors.torch.load_file(path)
        for name, tensor in loaded.items():
            original = tensors[str(LARGE) if name == "tensor" else name]
            assert bits(tensor)[2] == bits(original)[2]
            assert tensor.dtype in (dtype, torch.uint8)


def test_tensors_of_any_memory_layout_come_back(tmp_path: Path, key: Key) -> None:
    tier = DiskTier(tmp_path, GIB)
    base = torch.randn(64, 200, dtype=torch.complex64)
    tensors = {
        "transposed": base.T,
        "strided": base[::2, 1::3],
        "expanded": torch.ones(1, 3).expand(500, 3),
        "conjugate": base.conj(),
        "negative": base.conj().imag,
        "gradient": torch.nn.Parameter(torch.randn(3)),
        "twice": base,
        "twice again": base,
    }
    tier.put(key(0), Encoded("any", {}, tensors))
    found = tier.get(key(0))
    assert found is not None
    for name, tensor in tensors.items():
        assert torch.equal(found.tensors[name], tensor)
        assert not found.tensors[name].requires_grad
        assert found.tensors[name].is_contiguous()
    found.tensors["transposed"].zero_()  # what was read is the reader's own
    again = tier.get(key(0))
    assert again is not None
    assert torch.equal(again.tensors["transposed"], base.T)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kind=st.text(), data=json_values, names=st.lists(st.text().filter("__metadata__".__ne__), max_size=3, unique=True)
)
def test_any_json_comes_back(tmp_path: Path, key: Key, kind: str, data: object, names: list[str]) -> None:
    tier = DiskTier(tmp_path, GIB)
    if kind == "file":
        return
    tensors = {name: torch.full((index + 1,), index) for index, name in enumerate(names)}
    tier.put(key(0), Encoded(kind, data, tensors))  # type: ignore[arg-type]
    found = tier.get(key(0))
    assert found is not None
    assert (found.kind, found.data, list(found.tensors)) == (kind, data, names)
    assert tier.contains(key(0))


def test_what_cannot_be_stored_is_refused(tmp_path: Path, key: Key) -> None:
    tier = DiskTier(tmp_path, GIB)
    one = torch.ones(1)
    with pytest.raises(StoreError, match=r"'x' is sparse.*dense"):
        tier.put(key(0), Encoded("any", {}, {"x": torch.eye(3).to_sparse()}))
    with pytest.raises(ValueError, match="__metadata__"):
        tier.put(key(0), Encoded("any", {}, {"__metadata__": one}))
    with pytest.raises(ValueError, match="JSON"):
        tier.put(key(0), Encoded("any", {"x": float("nan")}, {}))
    with pytest.raises(ValueError, match="reserved"):
        tier.put(key(0), Encoded("file", {}, {}))
    assert not files_of(tmp_path)


@pytest.mark.parametrize("bad", ["", "a" * 63, "A" * 64, "../" + "a" * 61, "a" * 64 + "\n"])
def test_malformed_keys_are_refused(tmp_path: Path, bad: str) -> None:
    tier = DiskTier(tmp_path, GIB)
    (tmp_path / "x").touch()
    for operation in (tier.get, tier.contains, tier.file_digest):
        with pytest.raises(ValueError, match="64 lowercase"):
            operation(bad)
    with pytest.raises(ValueError, match="64 lowercase"):
        tier.put(bad, Encoded("any", {}, {}))
    with pytest.raises(ValueError, match="64 lowercase"):
        tier.put_file(bad, tmp_path / "x")


def test_large_tensors_are_stored_once(tmp_path: Path, key: Key) -> None:
    tier = DiskTier(tmp_path, GIB)
    shared = torch.randn(*LARGE)
    for number in range(5):
        tier.put(key(number), Encoded("any", number, {"a": shared, "b": shared.clone(), "c": torch.ones(2)}))
    assert tier.stats().entries == 5
    assert tier.stats().objects == 1
    # The same bytes with another dtype or shape are another tensor.
    tier.put(key("other"), Encoded("any", 0, {"a": shared.view(torch.int32), "b": shared.reshape(-1)}))
    assert tier.stats().objects == 3
    other = tier.get(key("other"))
    assert other is not None
    assert torch.equal(other.tensors["a"].view(torch.float32).reshape(-1), other.tensors["b"])


def one_of_each(tier: DiskTier, key: Key) -> None:
    large = torch.arange(128 * 129).sin().reshape(LARGE)
    tensors = {"small": torch.arange(9.0), "bf": torch.ones(3, dtype=torch.bfloat16), "large": large}
    assert tier.put(key(0), Encoded("any", {"text": "abc" * 50}, tensors))


def interesting(path: Path) -> list[int]:
    raw = path.read_bytes()
    header = 8 + int.from_bytes(raw[:8], "little")
    places = {0, 1, 7, 8, 9, 34, 98, header - 1, header, header + 1, len(raw) // 2, len(raw) - 1}
    return sorted(place for place in places if place < len(raw))


@pytest.mark.parametrize("which", ["entry", "object"])
def test_a_cut_off_entry_is_a_miss_and_removed(tmp_path: Path, key: Key, which: str) -> None:
    problems: list[str] = []
    tier = DiskTier(tmp_path, GIB, on_problem=problems.append)
    one_of_each(tier, key)
    path = (entries_of if which == "entry" else objects_of)(tmp_path)[0]
    whole = path.read_bytes()
    for number, length in enumerate(interesting(path), start=1):
        path.write_bytes(whole[:length])
        assert not tier.contains(key(0)), length
        assert tier.get(key(0)) is None, length
        assert not path.exists()
        assert not entries_of(tmp_path)
        assert tier.stats().damaged == number == len(problems)
        assert key(0) in problems[-1]
        one_of_each(tier, key)
        assert tier.contains(key(0))
        assert tier.get(key(0)) is not None
    path.write_bytes(whole + b"\0")
    assert tier.get(key(0)) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_a_miss(tmp_path: Path, key: Key, data: st.DataObject) -> None:
    tier = DiskTier(tmp_path, GIB, on_problem=lambda _: None)
    one_of_each(tier, key)
    path = data.draw(st.sampled_from([*entries_of(tmp_path), *objects_of(tmp_path)]))
    raw = bytearray(path.read_bytes())
    # Headers are small beside the tensors, so draw from them half of the time.
    place = data.draw(st.integers(0, 8 + int.from_bytes(raw[:8], "little")) | st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    assert tier.get(key(0)) is None
    assert not tier.contains(key(0))
    one_of_each(tier, key)
    assert tier.get(key(0)) is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(raw=st.binary(max_size=400), which=st.sampled_from([entries_of, objects_of]), keep=st.booleans())
def test_rubbish_is_a_miss(
    tmp_path: Path, key: Key, raw: bytes, which: Callable[[Path], list[Path]], keep: bool
) -> None:
    tier = DiskTier(tmp_path, GIB, on_problem=lambda _: None)
    one_of_each(tier, key)
    path = which(tmp_path)[0]
    old = path.read_bytes()
    path.write_bytes(raw + bytes(max(0, len(old) - len(raw))) if keep else raw)  # keep: as after a loss of power
    assert tier.get(key(0)) is None
    assert tier.verify().damaged == ()


def test_a_well_made_lie_is_a_miss_and_reaches_nothing_outside(tmp_path: Path, key: Key) -> None:
    tier = DiskTier(tmp_path / "store", GIB, on_problem=lambda _: None)
    name = "0" * 64 + ".safetensors"
    # From DIR/v1/objects/../, where a naive join of this name's folder would start.
    outside = "../../victim"
    victim = tmp_path / "victim"
    victim.write_bytes(b"0123456789")
    one_of_each(tier, key)
    assert (tmp_path / "store" / "v1" / "objects" / ".." / outside).samefile(victim)
    any_slot: Callable[..., Slot] = Slot
    made = partial(pack_entry, key=key(0))
    lies = [
        made("any", {}, {}, {"x": Slot("float32", (1,), outside)}, {outside: 10}),
        made("any", {}, {}, {"x": Slot("float32", (1,), outside)}, {}),
        made("any", {}, {}, {"x": Slot("float32", (1,), name)}, {}),
        made("any", {}, {}, {"x": Slot("float32", (-1, -4), (0, 0))}, {}),
        made("any", {}, {}, {"x": Slot("float32", (1 << 60,), (0, 0))}, {}),
        made("any", {}, {}, {"x": Slot("nn", (), (0, 0))}, {}),
        made("any", {}, {}, {"x": any_slot("float32", ("one",), (0, 0))}, {}),
        made("any", {}, {}, {"x": any_slot("float32", None, (0, 0))}, {}),
        made("any", {}, {}, {"x": any_slot("float32", (1,), (0,))}, {}),
        made("any", {}, {}, {"x": any_slot("float32", (1,), None)}, {}),
        made("any", {}, {}, {}, {"one:two": 3}),
        made("file", {"sha256": outside, "suffix": "/../x", "size": 10}, {}, {}, {name: 10}),
        made("file", {"sha256": outside[:-4], "suffix": "", "size": 10}, {}, {}, {name: 10}),
        made("file", [1], {}, {}, {name: 10}),
    ]
    for lie in lies:
        tier.put(key(0), Encoded("any", {}, {}))
        (entry,) = entries_of(tmp_path / "store")
        entry.write_bytes(b"".join(lie))
        assert tier.get(key(0)) is None
        assert tier.file_digest(key(0)) is None
        assert not tier.copy_file(key(0), tmp_path / "copy")
        tier.prune()
        assert victim.read_bytes() == b"0123456789"
    assert not (tmp_path / "copy").exists()


BLOCK = 4096


class DiskModel(RuleBasedStateMachine):
    """The tier keeps what an exact least-recently-used model keeps, also when it is opened anew."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.cap = 10 * BLOCK
        self.tier = DiskTier(self.folder.name, self.cap)
        self.model: OrderedDict[str, tuple[int, int]] = OrderedDict()

    keys = st.sampled_from([f"{number:064x}" for number in range(8)])

    @rule(key=keys, number=st.integers(), blocks=st.integers(1, 3))
    def put(self, key: str, number: int, blocks: int) -> None:
        length = (blocks - 1) * BLOCK
        assert self.tier.put(key, Encoded("any", [number, "x" * length], {"x": torch.tensor(blocks)}))
        self.model.pop(key, None)
        self.model[key] = (number, blocks)
        if self.total() > self.cap:
            while self.total() > self.cap * 9 // 10:
                self.model.popitem(last=False)

    @rule(key=keys)
    def get(self, key: str) -> None:
        found = self.tier.get(key)
        if key not in self.model:
            assert found is None
            return
        self.model.move_to_end(key)
        number, blocks = self.model[key]
        assert found is not None
        assert isinstance(found.data, list)
        assert found.data[0] == number
        assert found.tensors["x"].item() == blocks

    @rule()
    def open_again(self) -> None:
        self.tier = DiskTier(self.folder.name, self.cap)

    @rule(blocks=st.integers(0, 10))
    def prune(self, blocks: int) -> None:
        self.tier.prune(blocks * BLOCK)
        while self.total() > blocks * BLOCK:
            self.model.popitem(last=False)

    @rule()
    def clear(self) -> None:
        assert self.tier.clear() == len(self.model)
        self.model.clear()

    @invariant()
    def same(self) -> None:
        keys = [f"{number:064x}" for number in range(8)]
        assert self.tier.contains_many(keys) == set(self.model)
        stats = self.tier.stats()
        assert (stats.entries, stats.bytes) == (len(self.model), self.total())

    def total(self) -> int:
        return sum(blocks for _, blocks in self.model.values()) * BLOCK

    def teardown(self) -> None:
        self.folder.cleanup()


DiskModel.TestCase.settings = settings(deadline=None, max_examples=30, stateful_step_count=25)
TestDiskModel = DiskModel.TestCase


def test_the_cap_holds_with_objects_and_the_newest_value_stays(tmp_path: Path, key: Key) -> None:
    cap = 60 * BLOCK
    tier = DiskTier(tmp_path, cap)
    for number in range(40):
        assert tier.put(key(number), Encoded("any", number, {"x": torch.full((6000 + number,), number)}))
        assert tier.stats().bytes <= cap
        found = tier.get(key(number))
        assert found is not None
        assert found.tensors["x"][0].item() == number
        assert (tier.get(key(0)) is not None) or number == 0  # always in use, never evicted
    kept = [number for number in range(40) if tier.contains(key(number))]
    assert 2 < len(kept) < 10
    assert kept[1:] == list(range(40))[-len(kept) + 1 :]
    assert tier.stats().evicted > 0


def test_what_is_larger_than_the_store_is_not_kept(tmp_path: Path, key: Key) -> None:
    problems: list[str] = []
    tier = DiskTier(tmp_path, 10 * BLOCK, on_problem=problems.append)
    tier.put(key(0), Encoded("any", 0, {}))
    assert not tier.put(key(1), Encoded("any", 0, {"x": torch.zeros(10 * BLOCK, dtype=torch.uint8)}))
    (tmp_path / "big").write_bytes(bytes(10 * BLOCK))
    assert not tier.put_file(key(1), tmp_path / "big")
    assert tier.contains(key(0))
    assert not tier.contains(key(1))
    assert len(problems) == 2
    assert "too many" in problems[0]


def test_only_its_own_files_are_ever_removed(tmp_path: Path, key: Key) -> None:
    tier = DiskTier(tmp_path, GIB)
    one_of_each(tier, key)
    shard = entries_of(tmp_path)[0].parent
    others = [tmp_path / "photo.png", tmp_path / "v1" / "notes.txt", shard / "notes.txt", shard / "x.safetensors"]
    for path in others:
        path.write_text("mine", "utf-8")
        os.utime(path, (0, 0))
    tier.prune(0)
    one_of_each(tier, key)
    tier.verify()
    tier.clear()
    assert tier.stats().bytes == 0
    assert all(path.read_text("utf-8") == "mine" for path in others)


def test_verify_and_prune_find_what_is_of_no_use(tmp_path: Path, key: Key) -> None:
    tier = DiskTier(tmp_path, GIB, on_problem=lambda _: None)
    for number in range(4):
        tier.put(key(number), Encoded("any", number, {"x": torch.full(LARGE, number), "y": torch.ones(3)}))
    entry, damaged_object, missing_object = entries_of(tmp_path)[0], *objects_of(tmp_path)[:2]
    for path in (entry, damaged_object):
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
    missing_object.unlink()
    report = tier.verify()
    assert sorted(report.damaged) == sorted([entry.name, damaged_object.name])
    assert 1 <= len(report.incomplete) <= 2
    left = [number for number in range(4) if tier.get(key(number)) is not None]
    assert len(left) == 4 - 1 - len(report.incomplete)
    assert tier.verify().damaged == tier.verify().incomplete == ()
    # An object that no entry names goes when it is old, and only then.
    for path in entries_of(tmp_path):
        path.unlink()
    assert tier.prune() == 0
    orphans = objects_of(tmp_path)
    for path in orphans:
        os.utime(path, (1, 1))
    assert tier.prune() == len(orphans) > 0
    assert tier.stats().bytes == 0


def test_left_overs_are_swept_when_old(tmp_path: Path) -> None:
    DiskTier(tmp_path, GIB)
    (tmp_path / "v1" / "locks").mkdir()
    old = [tmp_path / "v1" / "tmp" / "1-a.tmp", tmp_path / "v1" / "locks" / ("a" * 64 + ".lock")]
    young = [tmp_path / "v1" / "tmp" / "2-b.tmp", tmp_path / "v1" / "locks" / ("b" * 64 + ".lock")]
    for path in (*old, *young):
        path.touch()
    for path in old:
        os.utime(path, (1, 1))
    DiskTier(tmp_path, GIB)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in young)


def test_files_are_kept_and_copied(tmp_path: Path, key: Key) -> None:
    tier = DiskTier(tmp_path / "store", GIB)
    picture = tmp_path / "picture.png"
    picture.write_bytes(os.urandom(3_000_000))
    assert tier.file_digest(key(0)) is None
    assert not tier.copy_file(key(0), tmp_path / "copy.png")
    assert tier.put_file(key(0), picture)
    assert tier.put_file(key(1), picture, suffix="")
    facts = tier.file_digest(key(0))
    assert facts is not None
    assert facts == (hashlib.sha256(picture.read_bytes()).hexdigest(), ".png", 3_000_000)
    assert tier.contains(key(0))
    assert tier.stats().objects == 1
    assert tier.copy_file(key(0), tmp_path / "new" / "copy.png")
    assert (tmp_path / "new" / "copy.png").read_bytes() == picture.read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy.png"]
    assert tier.get(key(0)) is None  # a file is not a value, and the other way round
    tier.put(key(2), Encoded("any", {}, {}))
    assert tier.file_digest(key(2)) is None
    assert tier.contains_many([key(number) for number in range(4)]) == {key(0), key(1), key(2)}
    with pytest.raises(ValueError, match="suffix"):
        tier.put_file(key(3), picture, suffix="/../x")
    with pytest.raises(FileNotFoundError):
        tier.put_file(key(3), tmp_path / "none.png")


@pytest.mark.parametrize("size", [0, 5, 3_000_000])
def test_a_damaged_file_is_not_copied(tmp_path: Path, key: Key, size: int) -> None:
    tier = DiskTier(tmp_path / "store", GIB, on_problem=lambda _: None)
    picture, target = tmp_path / "picture.png", tmp_path / "out" / "picture.png"
    picture.write_bytes(bytes(size))
    target.parent.mkdir()
    target.write_bytes(b"before")
    tier.put_file(key(0), picture)
    (stored,) = objects_of(tmp_path / "store")
    stored.write_bytes(bytes(size - 1) + b"\1" if size else b"\1")
    assert (tier.file_digest(key(0)) is not None) == (size > 0)  # the size tells, a flipped bit does not
    assert not tier.copy_file(key(0), target)
    assert target.read_bytes() == b"before"
    assert [path.name for path in target.parent.iterdir()] == ["picture.png"]
    assert tier.file_digest(key(0)) is None
    assert tier.put_file(key(0), picture)
    assert tier.copy_file(key(0), target)
    assert target.read_bytes() == bytes(size)


def test_a_target_that_cannot_be_written_is_the_callers_error(tmp_path: Path, key: Key) -> None:
    tier = DiskTier(tmp_path / "store", GIB)
    (tmp_path / "a").write_text("x", "utf-8")
    tier.put_file(key(0), tmp_path / "a")
    with pytest.raises(OSError, match=r"directory|exists"):
        tier.copy_file(key(0), tmp_path / "a" / "b")
    assert tier.file_digest(key(0)) is not None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_full_disk_is_reported_once_and_leaves_nothing(
    tmp_path: Path, key: Key, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tier = DiskTier(tmp_path / "store", GIB)
    one_of_each(tier, key)
    before = files_of(tmp_path / "store")
    (tmp_path / "a.png").write_bytes(b"a")

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "graphflow.store"):
        patch.setattr(os, "replace", fail)
        for number in range(1, 4):
            assert not tier.put(key(number), Encoded("any", number, {"x": torch.ones(LARGE)}))
            assert not tier.put_file(key(number), tmp_path / "a.png")
    assert [os.strerror(code) in record.getMessage() for record in caplog.records] == [True]
    assert files_of(tmp_path / "store") == before
    assert tier.get(key(0)) is not None
    # Space may come back; rights do not.
    assert tier.put(key(1), Encoded("any", 1, {})) == (code != errno.EROFS)


def test_a_write_that_breaks_off_half_way_leaves_nothing(tmp_path: Path, key: Key) -> None:
    resource = pytest.importorskip("resource")
    problems: list[str] = []
    tier = DiskTier(tmp_path / "store", GIB, on_problem=problems.append)
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(1_000_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        assert not tier.put(key(0), Encoded("any", 0, {"x": torch.ones(250_000)}))
        assert not tier.put_file(key(0), big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(problems) == 1
    assert not files_of(tmp_path / "store")
    assert not tier.contains(key(0))
    assert tier.put(key(0), Encoded("any", 0, {"x": torch.ones(250_000)}))


def test_ctrl_c_while_copying_leaves_nothing(tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    tier = DiskTier(tmp_path / "store", GIB)
    picture = tmp_path / "a.png"
    picture.write_bytes(b"abc")
    tier.put_file(key(0), picture)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", interrupt)
        tier.copy_file(key(0), tmp_path / "out" / "a.png")
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_vanishes_is_made_again(tmp_path: Path, key: Key) -> None:
    tier = DiskTier(tmp_path / "store", GIB)
    one_of_each(tier, key)
    shutil.rmtree(tmp_path / "store")
    assert tier.get(key(0)) is None
    assert tier.stats().bytes == 0
    one_of_each(tier, key)
    assert tier.get(key(0)) is not None


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "v1").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "store"):
        with pytest.raises(StoreError) as caught:
            DiskTier(place, GIB)
        assert str(caught.value).startswith(str(place))
        assert caught.value.advice
    with pytest.raises(ValueError, match="max_bytes"):
        DiskTier(tmp_path / "new", 0)


def test_all_but_values_works_without_torch(tmp_path: Path, key: Key) -> None:
    one_of_each(DiskTier(tmp_path, GIB), key)
    (tmp_path / "a.png").write_bytes(b"abc")
    script = """
import sys
sys.modules.update(torch=None)
from graphflow.store import DiskTier, Encoded, MemoryTier, Store
folder, key, other = sys.argv[1:]
store = Store(MemoryTier(1), DiskTier(folder, 1 << 30))
assert store.contains(key) and store.contains_many([key, other]) == {key}
assert store.put_file(other, folder + "/a.png") and store.copy_file(other, folder + "/b.png")
assert store.file_digest(other).suffix == ".png"
assert store.disk.put(other, Encoded("any", 1, {})) and store.disk.get(other).data == 1
assert not store.disk.verify().damaged and store.disk.prune() == 0
assert store.stats()["disk"].entries == 2
with store.claim(other) as held:
    assert held
store.disk.clear()
"""
    root = str(Path(graphflow.store.__file__).parents[2])
    command = [sys.executable, "-c", script, str(tmp_path), key(0), key(1)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
