"""Changed files of ComfyUI: the official templates and prompts made of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.comfyui.fuzz import convert, corpus, mutate


def inputs(folder: Path, largest: int | None = None) -> Callable[[random.Random], tuple[str, Callable[[], Any]]]:
    """Return what makes inputs: the name of a change, and what imports the changed file."""

    def make(dice: random.Random) -> tuple[str, Callable[[], Any]]:
        kind, data = mutate(dice.choice(corpus(largest)), dice)
        return kind, lambda: convert(data)

    return make
