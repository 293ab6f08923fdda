"""The tiny models of exported workflows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.export.adapters import make_adapters
from tests.export.models import make_models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with all of them."""
    return make_adapters(make_models(tmp_path_factory.mktemp("models")))
