"""Files of the store are exchanged, cut, altered, removed or something else: the run makes what it made before."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from graphflow.store import DiskTier
from tests.properties.stored import FAULTS, digest, files_of, run, run_killed, spoil

SOAK = bool(os.environ.get("GRAPHFLOW_TEST_SOAK"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A cache after a run, and the files of the run."""
    cache = tmp_path_factory.mktemp("whole")
    files = run(cache)
    assert len(set(files.values())) == 6
    return cache, files


places = st.integers(0, 99)


@settings(max_examples=500 if SOAK else 25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    faults=st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), st.booleans(), places, places), min_size=1, max_size=6)
)
@example(faults=[("a pipe", False, place, 0) for place in range(40)])
@example(faults=[("a device", True, place, 0) for place in range(20)])
@example(faults=[("copied over", False, place, place + 1) for place in range(40)])
def test_what_stands_in_a_wrong_place_is_computed_again(
    whole: tuple[Path, dict[str, str]], faults: list[tuple[str, bool, int, int]]
) -> None:
    cache, expected = whole
    with tempfile.TemporaryDirectory() as folder:
        mine = Path(shutil.copytree(cache, Path(folder) / "cache"))
        spoil(mine, faults)
        assert run(mine) == expected
        assert run(mine) == expected


def test_verifying_names_an_entry_in_the_place_of_another(whole: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    mine = Path(shutil.copytree(whole[0], tmp_path / "cache"))
    one, other, *_ = files_of(mine, objects=False)
    shutil.copy(other, one)
    report = DiskTier(mine / "store", 2**30).verify()
    assert (report.exchanged, report.damaged) == ((one.name,), ())
    assert not one.exists() and other.exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_killed_run_leaves_nothing_wrong(whole: tuple[Path, dict[str, str]], tmp_path: Path, share: float) -> None:
    started = time.perf_counter()
    assert run(tmp_path / "first") == whole[1]
    run_killed(tmp_path / "cache", tmp_path / "out", share * (time.perf_counter() - started))
    left = {path.name: digest(path) for path in (tmp_path / "out").glob("[!.]*")}
    assert left.items() <= whole[1].items()
    assert run(tmp_path / "cache") == whole[1]
