"""How large the layers are that a LoRA file changes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from graphflow.modelfiles.inferred import Shapes

_ROWS = (".lora_B.weight", ".lora_up.weight", ".lora_B.default.weight")
_COLUMNS = (".lora_A.weight", ".lora_down.weight", ".lora_A.default.weight")
_FACTORS = ((".lokr_w1", ".lokr_w1_a", ".lokr_w1_b"), (".lokr_w2", ".lokr_w2_a", ".lokr_w2_b"))
"""Of a Kronecker product: a factor whole, or as the product of two."""


def layer_sizes(shapes: Shapes) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the layers of LoRA and LoKr files by name, and their weights' rows and columns."""
    for key in shapes:
        for ending in (*_ROWS, ".lokr_w1", ".lokr_w1_a"):
            if not key.endswith(ending):
                continue
            name = key.removesuffix(ending)
            if ending in _ROWS:
                columns = next((shapes[name + down] for down in _COLUMNS if name + down in shapes), ())
                factors = [(shapes[key], columns)]
            else:
                factors = [
                    (
                        shapes.get(name + whole, shapes.get(name + a, ())),
                        shapes.get(name + whole, shapes.get(name + b, ())),
                    )
                    for whole, a, b in _FACTORS
                ]
            if all(rows and len(columns) > 1 for rows, columns in factors):
                yield name, (math.prod(rows[0] for rows, _ in factors), math.prod(columns[1] for _, columns in factors))
