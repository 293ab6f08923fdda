"""Several processes and threads on one folder: hammering, killing, evicting while reading, claims."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from graphflow.store import DiskTier, Encoded, MemoryTier, Store

sys.path.insert(0, str(Path(__file__).parent))
from store_workers import CAP, NOT_ALLOWED, check, key_of, value_of

Key = Callable[[object], str]


class Workers(Protocol):
    def start(self, task: str, **arguments: object) -> int: ...
    def wait(self, process: int) -> int: ...
    def kill(self, process: int) -> int: ...


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def is_public(folder: Path) -> bool:
    """Whether every user can reach a folder."""
    return folder.is_dir() and all(
        place.stat().st_mode & 0o001 for place in (folder.resolve(), *folder.resolve().parents)
    )


def as_somebody_else(workers: Workers, task: str, **arguments: object) -> None:
    """Run a task as a user without special rights: as nobody where this is root."""
    status = workers.wait(workers.start(task, user=os.geteuid() or 65534, **arguments))
    if status == NOT_ALLOWED:
        pytest.skip("this root may not become another user")
    assert status == 0


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that the user can reach as whom tasks run."""
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    if os.geteuid() == 0:
        places = [place for place in places if is_public(place)]
        if not places:
            pytest.skip("no folder for temporary files that other users can reach")
    folder = Path(tempfile.mkdtemp(dir=places[0]))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def test_many_processes_on_one_folder(tmp_path: Path, workers: Workers) -> None:
    running = [workers.start("hammer", folder=str(tmp_path), seed=seed, rounds=100) for seed in range(4)]
    assert [workers.wait(process) for process in running] == [0] * 4
    tier = DiskTier(tmp_path, CAP)
    report = tier.verify()
    assert report.damaged == ()
    assert report.files > 10
    # Each of the four writers may be 5 % above the cap before it looks.
    assert tier.stats().bytes <= CAP * 6 // 5
    assert not list((tmp_path / "v1" / "tmp").iterdir())


def test_a_writer_killed_at_any_moment_leaves_only_whole_values(tmp_path: Path, workers: Workers) -> None:
    chance = random.Random(7)
    unfinished = tmp_path / "v1" / "tmp"

    def entries() -> int:
        return len(list((tmp_path / "v1").glob("??/*")))

    kills = 0
    # On a busy machine a writer may get nowhere before it is killed: go on until some were caught while writing.
    while kills < 40 or entries() <= 20 or not list(unfinished.iterdir()):
        assert kills < 2000
        marker = tmp_path / f"{kills}"
        process = workers.start("write_forever", folder=str(tmp_path), marker=str(marker), seed=kills)
        wait_for(marker.exists)
        # However slow the disk, every other writer gets something done before its moment comes.
        wanted = entries() + chance.randrange(2)
        wait_for(lambda wanted=wanted: entries() >= wanted)
        time.sleep(chance.uniform(0, 0.03))
        assert workers.kill(process) < 0
        kills += 1
    problems: list[str] = []
    tier = DiskTier(tmp_path, CAP * 100, on_problem=problems.append)
    found = sum(check(number, tier.get(key_of(number))) for number in range(1000) if tier.contains(key_of(number)))
    assert found >= 20
    assert not problems
    assert tier.verify().damaged == tier.verify().incomplete == ()
    for path in unfinished.iterdir():
        os.utime(path, (1, 1))
    DiskTier(tmp_path, CAP)
    assert not list(unfinished.iterdir())


def test_evicting_while_others_read(tmp_path: Path) -> None:
    problems: list[str] = []
    tier = DiskTier(tmp_path, 60 * 4096, on_problem=problems.append)
    values = {number: value_of(number) for number in range(30)}
    stop = threading.Event()
    wrong: list[BaseException] = []
    hits = [0, 0, 0]

    def read(reader: int) -> None:
        chance = random.Random(reader)
        try:
            while not stop.is_set():
                number = chance.randrange(30)
                hits[reader] += check(number, tier.get(key_of(number)))
        except BaseException as problem:
            wrong.append(problem)

    readers = [threading.Thread(target=read, args=(reader,)) for reader in range(3)]
    for thread in readers:
        thread.start()
    step = 0
    while step < 200 or (min(hits) == 0 and step < 20_000 and not wrong):
        number = step * 7 % 30
        assert tier.put(key_of(number), values[number])
        step += 1
    stop.set()
    for thread in readers:
        thread.join()
    assert not wrong
    assert not problems
    assert min(hits) > 0
    assert tier.stats().evicted > 50


def test_a_folder_that_may_only_be_read(public_folder: Path, workers: Workers) -> None:
    folder = public_folder / "store"
    tier = DiskTier(folder, CAP)
    tier.put(key_of(1), value_of(1))
    empty = public_folder / "empty"
    empty.mkdir()
    for path in (empty, folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    as_somebody_else(workers, "read_only", folder=str(folder), empty=str(empty))
    assert check(1, tier.get(key_of(1)))


def test_a_folder_of_somebody_else(public_folder: Path, workers: Workers) -> None:
    folder = public_folder / "store"
    folder.mkdir()
    folder.chmod(0o000 if os.geteuid() else 0o700)
    as_somebody_else(workers, "unreadable", folder=str(folder))


def test_one_process_computes_and_the_others_wait(tmp_path: Path, workers: Workers) -> None:
    log = tmp_path / "log"
    running = [workers.start("compute_once", folder=str(tmp_path / "store"), log=str(log)) for _ in range(6)]
    assert [workers.wait(process) for process in running] == [0] * 6
    assert sorted(log.read_text("utf-8").split()) == list("01234")
    assert not list((tmp_path / "store" / "v1" / "locks").iterdir())


def test_a_claim_ends_with_its_process(tmp_path: Path, workers: Workers) -> None:
    process = workers.start("hold_claim", folder=str(tmp_path), marker=str(tmp_path / "held"))
    wait_for((tmp_path / "held").exists)
    store = Store(MemoryTier(0), DiskTier(tmp_path, CAP))
    with store.claim(key_of(1), timeout=0) as held:  # another key is free
        assert held
    with store.claim(key_of(0), persist=False, timeout=0) as held:  # and so is this process
        assert held
    with store.claim(key_of(0), timeout=0.2) as held:
        assert not held

    def cancel() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), store.claim(key_of(0), poll=cancel):
        raise AssertionError("claimed")
    # An old lock file that is held is not swept.
    (lock,) = (tmp_path / "v1" / "locks").iterdir()
    os.utime(lock, (1, 1))
    DiskTier(tmp_path, CAP)
    assert lock.exists()
    workers.kill(process)
    with store.claim(key_of(0)) as held:
        assert held


def test_threads_compute_once(tmp_path: Path) -> None:
    for disk in (None, DiskTier(tmp_path, CAP)):
        store = Store(MemoryTier(1000), disk)
        computed: list[int] = []

        def work(store: Store = store, computed: list[int] = computed) -> None:
            for number in range(5):
                with store.claim(key_of(number)) as held:
                    assert held
                    if store.get(key_of(number), lambda _: None) is None:
                        computed.append(number)
                        time.sleep(0.005)
                        store.put(key_of(number), number + 1, nbytes=1, persist=False)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert computed == [0, 1, 2, 3, 4]


def test_a_thread_waiting_for_a_claim_can_be_stopped() -> None:
    store = Store(MemoryTier(0))

    def cancel() -> None:
        raise KeyboardInterrupt

    with store.claim(key_of(0)) as held:
        assert held
        with store.claim(key_of(0), timeout=0.1) as again:
            assert not again
        with pytest.raises(KeyboardInterrupt), store.claim(key_of(0), poll=cancel):
            raise AssertionError("claimed")
    with pytest.raises(ZeroDivisionError), store.claim(key_of(0), timeout=0) as held:
        raise ZeroDivisionError  # a failure inside lets go
    with store.claim(key_of(0), timeout=0) as held:
        assert held


def test_memory_stands_before_disk(tmp_path: Path, key: Key) -> None:
    store = Store(MemoryTier(100), DiskTier(tmp_path, CAP))
    decoded: list[object] = []

    def decode(encoded: Encoded) -> object:
        decoded.append(encoded.data)
        return encoded.data

    def encode(value: object) -> Encoded:
        return Encoded("any", value, {})  # type: ignore[arg-type]

    store.put(key(0), "kept", nbytes=60, persist=True, encode=encode)
    store.put(key(1), "passing", nbytes=60, persist=False)
    assert [store.locate(key(number)) for number in range(3)] == ["disk", "memory", None]
    assert store.contains_many([key(0), key(1), key(2)]) == {key(0), key(1)}
    assert store.get(key(0), decode) == "kept"
    assert store.locate(key(0)) == "memory"
    assert store.get(key(0), decode) == "kept"
    assert decoded == ["kept"]  # the second time from memory
    missing = object()
    assert store.get(key(2), decode, missing) is missing
    assert store.stats()["disk"].entries == 1
    store.put(key(3), None, nbytes=1, persist=False)
    assert store.get(key(3), decode, missing) is None  # None is a value
    with pytest.raises(TypeError, match="encode"):
        store.put(key(4), 1, nbytes=1, persist=True)


def test_what_cannot_be_decoded_is_a_reported_miss(tmp_path: Path, key: Key) -> None:
    problems: list[str] = []
    store = Store(MemoryTier(0), DiskTier(tmp_path, CAP, on_problem=problems.append))
    store.put(key(0), 1, nbytes=1, persist=True, encode=lambda _: Encoded("old", {}, {}))

    def decode(encoded: Encoded) -> object:
        raise KeyError("shape")

    assert store.get(key(0), decode, "missing") == "missing"
    assert len(problems) == 1
    assert "old" in problems[0]
    assert "shape" in problems[0]
    assert not store.contains(key(0))  # whoever plans next knows


def test_an_entry_can_be_evicted_by_its_key(tmp_path: Path, key: Key) -> None:
    store = Store(MemoryTier(100), DiskTier(tmp_path, CAP))
    for number in range(2):
        store.put(key(number), number, nbytes=1, persist=True, encode=lambda value: Encoded("number", value, {}))
    store.evict(key(0))
    store.evict(key(0))  # nothing is left to evict
    assert store.contains_many([key(0), key(1)]) == {key(1)}
    assert Store(MemoryTier(100), DiskTier(tmp_path, CAP)).contains_many([key(0), key(1)]) == {key(1)}


def test_without_a_disk_tier_files_are_not_kept(tmp_path: Path, key: Key) -> None:
    store = Store(MemoryTier(100))
    (tmp_path / "a").touch()
    assert not store.put_file(key(0), tmp_path / "a")
    assert store.file_digest(key(0)) is None
    assert not store.copy_file(key(0), tmp_path / "b")
    assert list(store.stats()) == ["memory"]
