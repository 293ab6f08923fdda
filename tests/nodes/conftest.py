"""Fixtures of the node tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from graphflow import runtime
from tests.nodes.fakes import FakeModels, Told


@pytest.fixture
def models() -> FakeModels:
    """Stand-ins for models."""
    return FakeModels()


@pytest.fixture
def told(models: FakeModels) -> Iterator[Told]:
    """A runtime that remembers, current while the test runs."""
    memory = Told()
    with runtime.using(memory.runtime(models)):
        yield memory
