"""Times that a network hears as they are; exported scripts carry this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def exact_numbers(projection: Any, *numbers: Tensor) -> Iterator[None]:
    """Have a network's projection of times see them in float32; the network rounds them to its own dtype before.

    In bfloat16 a time of 600 may be off by 2, which moves the result more than all other rounding together.

    Args:
        projection: Diffusers' `Timesteps`.
        numbers: (n,) in float32, for each of its calls until the block ends; what it gets beside them stays.
    """
    waiting = iter(numbers)

    def exact(_module: Any, inputs: tuple[Tensor]) -> tuple[Tensor]:
        number = next(waiting)
        return (torch.cat([number, inputs[0][len(number) :].float()]),)

    hook = projection.register_forward_pre_hook(exact)
    try:
        yield
    finally:
        hook.remove()
