"""The fuzzers by name, and what runs them: the same number gives the same input."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hostile import comfyui_files, documents, pictures, stores, weights
from tests.hostile.watch import Outcome, watched

Make = Callable[[random.Random], tuple[str, Callable[[], Any]]]
FUZZERS: dict[str, Callable[[Path], Make]] = {
    "documents": documents.inputs,
    "ComfyUI files": comfyui_files.inputs,
    "pictures": pictures.inputs,
    "weight files": weights.inputs,
    "store folders": stores.inputs,
}


def fuzzed(make: Make, name: str, first: int, count: int) -> Iterator[tuple[str, Outcome]]:
    """Yield the name of a change and what it gave, for the inputs from number ``first`` on."""
    for number in range(first, first + count):
        kind, call = make(random.Random(f"{name}/{number}"))
        yield kind, watched(call)
