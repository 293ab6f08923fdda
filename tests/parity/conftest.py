"""The small U-Net, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.parity.harness import TinyModel


@pytest.fixture(scope="session")
def tiny_model() -> Iterator[TinyModel]:
    """Return the U-Net; one thread, as the numbers were recorded."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield TinyModel()
    torch.set_num_threads(threads)
