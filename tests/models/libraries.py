"""Fixtures of the library's tests: a model folder, and a library that sees nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphflow.library.library import Library
from graphflow.settings import Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def make_library(tmp_path: Path, root: Path) -> Callable[..., Library]:
    def make(*folders: Any, **settings: Any) -> Library:
        return Library(
            Settings.model_validate(
                {
                    "models": list(folders) or [root],
                    "cache_dir": tmp_path / "cache",
                    "hub_cache": tmp_path / "hub",
                    "offline": True,
                    **settings,
                }
            )
        )

    return make


@pytest.fixture
def library(make_library: Callable[..., Library]) -> Library:
    return make_library()
