"""The command line in this process, on the CPU, over one cache for the whole run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graphflow.cli import main
from tests.frozen.fixtures import PACK

Command = Callable[..., str]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that all tests share, so that no prompt is encoded twice."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def graphflow(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cache: Path) -> Command:
    """Run a command that must exit with 0; returns what it printed on standard output."""
    monkeypatch.setenv("GRAPHFLOW_DEVICE", "cpu")
    monkeypatch.setenv("GRAPHFLOW_DTYPE", "float32")
    monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(cache))

    def command(name: str, *arguments: object, packs: bool = True) -> str:
        capfd.readouterr()
        line = [name, *map(str, arguments), *(["--nodes", str(PACK)] if packs else [])]
        code = main(line)
        shown = capfd.readouterr()
        assert code == 0, f"graphflow {' '.join(line)}: exit {code}\n{shown.err}"
        return shown.out

    return command
