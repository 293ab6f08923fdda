"""Fixtures for all tests: settings and caches of their own, nothing of the user's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.registry import Registry
from tests import toys as toy_pack
from tests.fresh import Fresh

ROOT = Path(__file__).resolve().parent.parent

# One thread, as the recorded numbers have it; and two processes on two cores then do not fight over them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What programs print is read as UTF-8, whatever the locale.
os.environ["PYTHONIOENCODING"] = "utf-8"

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test away from the user's settings, caches and models."""
    for name in [name for name in os.environ if name.startswith("GRAPHFLOW_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    settings = home / "settings.toml"
    settings.write_text("", "utf-8")
    monkeypatch.setenv("GRAPHFLOW_SETTINGS", str(settings))
    monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(home / "cache"))
    monkeypatch.setenv("GRAPHFLOW_MODELS", str(home / "models"))
    monkeypatch.setenv("GRAPHFLOW_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def toys(tmp_path: Path) -> ToySession:
    """Return a session with the toy nodes only."""
    return ToySession(tmp_path)


@pytest.fixture(scope="session")
def fresh() -> Iterator[Fresh]:
    """Run Python programs in fresh processes that have torch and Diffusers imported, and no graphflow."""
    with Fresh() as processes:
        yield processes


class NoModels:
    """Stands in for the model manager, without torch."""

    device = "cpu"
    measures = ()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a toy node asked for models.{name}")

    def retrying(self, call: Callable[[], Any]) -> Any:
        """Call a function once."""
        return call()

    def inference(self) -> AbstractContextManager[Any]:
        """Return a context that does nothing."""
        return nullcontext()


TOYS = Registry().with_nodes(toy_pack.NODES, pack="toys", version="1.0")


class ToySession:
    """Sessions over one cache folder, with the toy nodes only and no models."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"

    def fresh(self, **settings: object) -> Session:
        """Return a session as a new process would have it: the disk tier is shared, memory is empty."""
        given = {"models": (), "cache_dir": self.folder / "cache", **settings}
        return Session(Settings.model_validate(given), known=TOYS, models=NoModels())
