"""Real processes that are killed at random moments: nothing is damaged, and no picture is another one."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from graphflow.sampling.names import SAMPLER_NAMES
from graphflow.session import Session
from graphflow.settings import load_settings
from tests.fresh import Fresh, Ran

SOAK = bool(os.environ.get("GRAPHFLOW_TEST_SOAK"))
KILLS, PARTS = (50, 4) if SOAK else (12, 1)

PREPARE = """
def prepare():
    import graphflow.cli.run, graphflow.cli.sweep, graphflow.cli.progress, graphflow.nodes, graphflow.sweeps.sweep
    import graphflow.families.stable_diffusion.components, graphflow.loading.manager
    from graphflow.session import Session
    Session().registry
"""

RUN = """
import signal, sys, time
from graphflow.store import tapes
tapes.FLUSH_SECONDS = 0.0  # every evaluation is written at once, so that the end may fall into it
# Nobody handles this signal, so it ends the process as SIGKILL does; its moment is one of processor time.
signal.setitimer(signal.ITIMER_PROF, float(sys.argv.pop(1)))
from graphflow.cli import main
status = main(sys.argv[1:])
print(time.process_time())
sys.exit(status)
"""


def contents(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.mark.timeout(3600 if SOAK else 600)
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_random_moments_a_run_ends_with_the_same_pictures(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prepare.py").write_text(PREPARE, "utf-8")
    with Fresh(tmp_path / "prepare.py") as processes:
        kill(processes, part, tmp_path, monkeypatch)


def kill(processes: Fresh, part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = random.Random(part)
    samplers = SAMPLER_NAMES[part::PARTS] if SOAK else ["dpmpp_2m_sde"]
    references: dict[str, tuple[Mapping[str, bytes], float]] = {}
    killed = resumed = 0

    def run(place: str, sampler: str, moment: float = 0.0) -> Ran:
        return processes.execute(
            RUN, moment, "run", "txt2img", "-i", "seed=1", "--set", f"sample.sampler={sampler}",
            "-i", "steps=12", "-i", "width=64", "-i", "height=64", "--out", tmp_path / place,
            blocked=(), env={"GRAPHFLOW_CACHE_DIR": str(tmp_path / f"{place}-cache")},
        )  # fmt: skip

    for sampler in itertools.islice(itertools.cycle(samplers), 2 * KILLS):
        if sampler not in references:
            ran = run(sampler, sampler)
            assert ran.code == 0, ran.err
            references[sampler] = contents(tmp_path / sampler), float(ran.out.split()[-1])
        wanted, seconds = references[sampler]
        for _ in range(2):
            ran = run("killed", sampler, moments.uniform(0.3, 1.0) * seconds)
            assert ran.code in (0, -signal.SIGPROF), ran.err
            killed += ran.code != 0
            assert contents(tmp_path / "killed") in ({}, wanted)
        ran = run("killed", sampler)
        assert ran.code == 0, ran.err
        resumed += "sampling goes on after" in ran.err
        assert contents(tmp_path / "killed") == wanted
        monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(tmp_path / "killed-cache"))
        disk = Session(load_settings()).store.disk
        assert disk is not None
        report = disk.verify()
        assert not (report.damaged or report.exchanged or report.incomplete)
        assert not list((tmp_path / "killed-cache").rglob("*.tape"))
        for name in ("killed", "killed-cache"):
            shutil.rmtree(tmp_path / name)
        if killed >= KILLS:
            break
    print(f"{killed} killed, {resumed} runs went on inside a sampler")
    assert killed >= KILLS and resumed
