"""Settings, folders and a working folder of their own for each test of the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from graphflow.cli import main
from tests.cli.commands import CHAIN, PACK, Command, Ran

TERMINAL = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""What a user's terminal says of itself, and what CI does in its place."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with settings, models and store of its own."""
    for name in [*filter(lambda name: name.startswith("GRAPHFLOW_"), os.environ), *TERMINAL]:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "settings.toml").write_text("", "utf-8")
    (folder / "models").mkdir()
    monkeypatch.setenv("GRAPHFLOW_SETTINGS", str(folder / "settings.toml"))
    monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("GRAPHFLOW_MODELS", str(folder / "models"))
    monkeypatch.setenv("GRAPHFLOW_DEVICE", "cpu")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return folder


@pytest.fixture
def graphflow(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process."""

    def command(*arguments: object) -> Ran:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return command


@pytest.fixture
def packed(graphflow: Command) -> Command:
    """Run a command that knows the test's node pack."""
    return lambda name, *arguments: graphflow(name, "--nodes", PACK, *arguments)


@pytest.fixture
def chain() -> Path:
    """Write a workflow of three nodes of the test's pack."""
    path = Path("chain.json")
    path.write_text(json.dumps(CHAIN), "utf-8")
    return path
