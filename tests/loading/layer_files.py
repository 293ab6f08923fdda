"""Files of two layers that comfy-kitchen 0.2.40 and gguf 0.19 wrote, and rows of the weights that they read there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np


@cache
def recorded() -> Mapping[str, Any]:
    """By `file/FORMAT` the bytes of a file, by `weight/FORMAT` the rows."""
    with np.load(Path(__file__).parent / "recorded" / "quantised.npz") as data:
        return dict(data)


FORMATS = [name.removeprefix("file/") for name in recorded() if name.startswith("file/")]
