"""Completing records: digests beside the sampling, and circumstances of several runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from graphflow.errors import CancelledError, ModelFormatError
from graphflow.execution.circumstances import facts, from_json, merged, to_json
from graphflow.execution.recording import Digesting


def test_circumstances_in_which_parts_differ_are_told_apart() -> None:
    one, other = (
        from_json([{"threads": 2, "torch": "2"}]),
        from_json([{"torch": "2", "threads": 1, "attention": "sdpa"}]),
    )
    assert facts(one) == {"threads": 2, "torch": "2"}
    both = merged([one, other, one])
    assert both == merged([other, one]) and len(both) == 2
    assert facts(both) == {"torch": "2", "attention": "sdpa", "mixed": {"threads": [1, 2]}}
    assert from_json(to_json(both)) == both
    assert from_json("damaged") == from_json([1, None]) == ()
    assert facts(()) == {}


def test_a_file_is_digested_once_whoever_waits_for_it() -> None:
    seen: list[str] = []

    def digest(path: Path, check: Callable[[int, int], None]) -> str:
        seen.append(path.name)
        return path.name.upper()

    digesting = Digesting(digest)
    digesting.want(["a", "b", "a"])
    assert [digesting.get(path, lambda: None) for path in ("b", "a", "c", "a")] == ["B", "A", "C", "A"]
    assert seen == ["a", "b", "c"]


def test_who_waits_for_a_digest_can_be_stopped_and_is_told_errors() -> None:
    begun, stopped = threading.Event(), threading.Event()

    def digest(path: Path, check: Callable[[int, int], None]) -> str:
        if path.name == "gone":
            raise ModelFormatError("cannot be read", where="gone")
        begun.set()
        try:
            while True:
                check(0, 1)
        finally:
            stopped.set()

    def poll() -> None:
        if begun.is_set():
            raise CancelledError

    digesting = Digesting(digest)
    with pytest.raises(ModelFormatError, match="cannot be read"):
        digesting.get("gone", lambda: None)
    with pytest.raises(CancelledError):
        digesting.get("large", poll)
    digesting.close()
    assert stopped.wait(60)
