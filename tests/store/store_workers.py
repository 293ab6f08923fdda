"""Run as a script: forks a process for each task asked for on stdin, after importing torch once."""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import filelock  # noqa: F401  # imported before a task gives up its rights to read the installation
import torch

from graphflow.errors import StoreError
from graphflow.store import DiskTier, Encoded, MemoryTier, Store

CAP = 400 * 4096
NOT_ALLOWED = 77
"""How a task ends that may not become another user."""


def key_of(number: int) -> str:
    """The key that all processes use for a number."""
    return sha256(f"shared {number}".encode()).hexdigest()


def value_of(number: int) -> Encoded:
    """The value that belongs to a number: a small tensor, a large one, and one shared with its neighbours."""
    return Encoded(
        "number",
        {"number": number},
        {
            "small": torch.full((number % 7, 3), float(number)),
            "large": torch.full((8192 + number,), float(number)),
            "shared": torch.full((5000,), number // 4, dtype=torch.int64),
        },
    )


def check(number: int, found: Encoded | None) -> bool:
    """Whether something was found; anything but the right value is an error."""
    if found is None:
        return False
    expected = value_of(number)
    assert (found.kind, found.data) == (expected.kind, expected.data)
    assert list(found.tensors) == list(expected.tensors)
    for name, tensor in expected.tensors.items():
        assert torch.equal(found.tensors[name], tensor), (number, name)
    return True


def hammer(folder: str, seed: int, rounds: int) -> None:
    """Write, read and prune at random in a folder that holds about a quarter of all values."""
    chance = random.Random(seed)
    problems: list[str] = []
    tier = DiskTier(folder, CAP, on_problem=problems.append)
    hits = 0
    for _ in range(rounds):
        number = chance.randrange(60)
        action = chance.random()
        if action < 0.4:
            assert tier.put(key_of(number), value_of(number))
        elif action < 0.97:
            hits += check(number, tier.get(key_of(number)))
        elif action < 0.99:
            tier.prune()
        else:
            assert not tier.verify().damaged
    assert hits > 0
    assert not problems, problems


def write_forever(folder: str, marker: str, seed: int) -> None:
    """Say that it begins, then write values until killed."""
    chance = random.Random(seed)
    tier = DiskTier(folder, CAP * 100)
    Path(marker).touch()
    while True:
        number = chance.randrange(1000)
        tier.put(key_of(number), value_of(number))


def hold_claim(folder: str, marker: str) -> None:
    """Claim a key, say so, and never let go."""
    with Store(MemoryTier(0), DiskTier(folder, CAP)).claim(key_of(0)) as held:
        assert held
        Path(marker).touch()
        time.sleep(600)


def compute_once(folder: str, log: str) -> None:
    """Compute a key under a claim unless another process did, and note it."""
    store = Store(MemoryTier(1 << 20), DiskTier(folder, CAP))
    for number in range(5):
        with store.claim(key_of(number)) as held:
            assert held
            found = store.get(key_of(number), _as_it_is)
            assert found is None or isinstance(found, Encoded)
            if not check(number, found):
                time.sleep(0.02)
                with Path(log).open("a", encoding="utf-8") as file:
                    file.write(f"{number}\n")
                store.put(key_of(number), value_of(number), nbytes=1 << 30, persist=True, encode=_as_it_is)


def read_only(folder: str, empty: str, user: int) -> None:
    """As a user who may read but not write: reading works, writing is refused and reported once."""
    _become(user)
    problems: list[str] = []
    tier = DiskTier(folder, CAP, on_problem=problems.append)
    assert check(1, tier.get(key_of(1)))
    assert tier.contains(key_of(1))
    assert not tier.put(key_of(2), value_of(2))
    assert not tier.put(key_of(3), value_of(3))
    with Store(MemoryTier(0), tier).claim(key_of(2)) as held:
        assert not held
    tier.prune(0)
    tier.clear()
    assert check(1, tier.get(key_of(1)))
    assert len(problems) == 1, problems
    assert "Permission denied" in problems[0]
    nothing = DiskTier(empty, CAP, on_problem=problems.append)
    assert nothing.get(key_of(1)) is None
    assert not nothing.put(key_of(1), value_of(1))
    assert len(problems) == 2, problems


def unreadable(folder: str, user: int) -> None:
    """As a user who may not even read: opening is an error that names the owner and a way out."""
    _become(user)
    for place in (folder, f"{folder}/below"):
        try:
            DiskTier(place, CAP)
        except StoreError as problem:
            assert str(problem).startswith(place), problem
            assert "Permission denied" in str(problem)
            assert problem.advice
        else:
            raise AssertionError(f"{place} was opened")


def _as_it_is(value: object) -> Encoded:
    assert isinstance(value, Encoded)
    return value


def _become(user: int) -> None:
    if os.geteuid() != user:
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        except OSError:
            os._exit(NOT_ALLOWED)


TASKS: dict[str, Callable[..., None]] = {
    task.__name__: task for task in (hammer, write_forever, hold_claim, compute_once, read_only, unreadable)
}


def _serve() -> None:
    for line in sys.stdin:
        what, about = json.loads(line)
        if what == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(about, 0)[1])
        elif (answer := os.fork()) == 0:
            status = 1
            try:
                TASKS[about[0]](**about[1])
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        print(answer, flush=True)


if __name__ == "__main__":
    _serve()
