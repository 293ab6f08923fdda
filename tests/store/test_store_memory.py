"""The memory tier against a model: least recently used out first, never above its budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from graphflow.store import MemoryTier

KEYS = st.sampled_from("abcdef")


class MemoryModel(RuleBasedStateMachine):
    """Every operation on the tier and on an ordered dict gives the same."""

    @initialize(budget=st.sampled_from([0, 4, 6, 8, 12]))
    def start(self, budget: int) -> None:
        self.tier = MemoryTier(budget)
        self.model: OrderedDict[str, tuple[object, int]] = OrderedDict()
        self.hits = self.misses = 0

    @rule(key=KEYS, value=st.none() | st.integers(), nbytes=st.sampled_from([0, 1, 1, 2, 2, 3, 3, 13]))
    def put(self, key: str, value: object, nbytes: int) -> None:
        kept = self.tier.put(key, value, nbytes)
        assert kept == (nbytes <= self.tier.max_bytes)
        self.model.pop(key, None)
        if kept:
            self.model[key] = (value, nbytes)
            while sum(size for _, size in self.model.values()) > self.tier.max_bytes:
                self.model.popitem(last=False)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        missing = object()
        found = self.tier.get(key, missing)
        if key in self.model:
            self.model.move_to_end(key)
            self.hits += 1
            assert found is self.model[key][0]
        else:
            self.misses += 1
            assert found is missing

    @rule(key=st.sampled_from("abcdef!"))  # one rule, or values would be gone before the budget is full
    def forget(self, key: str) -> None:
        if key == "!":
            self.tier.clear()
            self.model.clear()
        else:
            assert self.tier.evict(key) == (self.model.pop(key, None) is not None)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "tier"):
            return
        stats = self.tier.stats()
        assert {key for key in "abcdef" if self.tier.contains(key)} == set(self.model)
        assert stats.entries == len(self.model)
        assert stats.bytes == sum(size for _, size in self.model.values()) <= stats.max_bytes
        assert (stats.hits, stats.misses) == (self.hits, self.misses)


MemoryModel.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestMemoryModel = MemoryModel.TestCase


def test_the_least_recently_used_goes_first() -> None:
    tier = MemoryTier(3)
    for name in "abc":
        tier.put(name, name, 1)
    tier.get("a")
    tier.contains("b")  # looking is no use
    tier.put("d", "d", 1)
    assert [name for name in "abcd" if tier.contains(name)] == ["a", "c", "d"]
    tier.put("c", "again", 1)
    tier.put("e", "e", 1)
    assert [name for name in "abcde" if tier.contains(name)] == ["c", "d", "e"]


@given(st.integers(max_value=-1))
def test_negative_sizes_are_refused(nbytes: int) -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        MemoryTier(nbytes)
    with pytest.raises(ValueError, match="nbytes"):
        MemoryTier(1).put("a", 1, nbytes)


def test_a_value_may_use_the_tier_while_it_is_dropped() -> None:
    tier = MemoryTier(1)

    class Talkative:
        def __del__(self) -> None:
            tier.contains("b")

    tier.put("a", Talkative(), 1)
    tier.put("b", 1, 1)  # would hang if the destructor ran under the lock
    assert not tier.contains("a")


def test_many_threads_keep_the_budget() -> None:
    tier = MemoryTier(50)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for step in range(2000):
            key = str((seed * 31 + step * 7) % 40)
            tier.put(key, key, 1 + step % 9)
            found = tier.get(str(step % 40))
            if found not in (None, str(step % 40)) or tier.stats().bytes > 50:
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    tier.clear()
    assert tier.stats().bytes == 0
