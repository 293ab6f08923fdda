"""Workers of a cluster that are killed at random moments."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
import torch

from tests.cluster.killing import unlike_after_kills

pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def test_workers_that_are_killed_at_random_moments_change_nothing(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert unlike_after_kills(20, random.Random(), tmp_path) == set()
    finally:
        torch.set_num_threads(before)
