"""Sessions on the packaged shapes model; one cache for the whole run, as a user has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphflow.library.library import Library
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec import registry


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("engine")
    return Settings.model_validate({"models": (), "cache_dir": folder / "cache", "device": "cpu", "offline": True})


@pytest.fixture(scope="session")
def known() -> registry.Registry:
    return registry.installed()


@pytest.fixture(scope="session")
def session(settings: Settings, known: registry.Registry) -> Session:
    return Session(settings, known=known)


@pytest.fixture(scope="session")
def shapes(settings: Settings) -> Path:
    """Return the folder of the packaged model."""
    path = Library(settings).describe("shapes", "checkpoint").path
    assert path is not None
    return path
