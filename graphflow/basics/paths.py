"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def user_path(name: str) -> Path:
    """Return a path whose ``~`` is a home folder; where there is no such user, it stays as it is."""
    return Path(os.path.expanduser(name))  # noqa: PTH111  # pathlib's raises where there is no such user
