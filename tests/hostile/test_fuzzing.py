"""A thousand changed inputs: a result or an error of the project's own, soon and small. `make soak` reads more."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphflow.errors import CancelledError, InvalidInputError
from tests.hostile.fuzzing import FUZZERS, fuzzed
from tests.hostile.watch import CLEAR, Outcome, watched

COUNTS = {"documents": 200, "ComfyUI files": 150, "pictures": 300, "weight files": 150, "store folders": 200}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUZZERS)
def test_changed_inputs_give_a_result_or_an_error_of_the_projects_own(name: str, tmp_path: Path) -> None:
    outcomes = list(fuzzed(FUZZERS[name](tmp_path), name, 0, COUNTS[name]))
    assert [(number, *outcome) for number, outcome in enumerate(outcomes) if outcome[1].faults] == []
    assert "read" in {outcome.verdict for _, outcome in outcomes}


class _RawError(InvalidInputError):
    def __str__(self) -> str:
        return "\ud800"


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (KeyError("a"), "crash"),
        (CancelledError("stopped"), "crash"),
        (InvalidInputError("no"), "refused"),
        (_RawError(""), "unprintable"),
    ],
)
def test_what_comes_of_an_input_is_judged(error: Exception, verdict: str) -> None:
    assert watched(lambda: _raise(error)).verdict == verdict


@pytest.mark.skipif(not CLEAR.exists(), reason="the peak of resident memory is Linux's")
def test_memory_that_is_given_back_counts() -> None:
    # Far above the bound: mapped files count as resident, and the kernel may take their pages back meanwhile.
    outcome = watched(lambda: len(b"x" * (768 * 2**20)))
    assert "large" in outcome.faults
    assert watched(lambda: None).faults == ()
    assert Outcome("read", 1000.0, 0.0).faults == ("slow",)
