"""Predictions to guide, drawn from seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphflow.sampling.guidance import ClassifierFree, Modifier, Predictions, guide
from tests.sampling.toy import DISCRETE

SCALE = 5.0


def tensor(seed: int, shape: Sequence[int] = (2, 4, 8, 8)) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def predictions(**changes: Any) -> Predictions:
    x = tensor(1)
    given: dict[str, Any] = {
        "x": x,
        "sigma": torch.tensor(2.0),
        "cond": 0.5 * x + 0.2 * tensor(2),
        "uncond": 0.3 * x - 0.2 * tensor(3),
        "scale": SCALE,
        "levels": DISCRETE,
        "evaluate": lambda side="positive", *, x=x, sigma=None, variation=None: 0.4 * x,
    }
    return Predictions(**{**given, **changes})


def guided(*modifiers: Modifier, p: Predictions | None = None) -> Tensor:
    return guide(ClassifierFree(scale=SCALE), modifiers, p or predictions())[0]
