"""Brownian paths by torchsde, drawn from either stream of `noise`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchsde import BrownianInterval, BrownianTree
from torchsde._brownian.brownian_interval import _Interval

from .philox import PhiloxGenerator

Increments = Callable[[float, float], Tensor]
"""(start, end) -> the path's increment between two times."""

_TOLERANCE, _POOL_SIZE = 1e-6, 24
"""As `BrownianTree` has them."""


def brownian_tree(start: float, end: float, shape: tuple[int, ...], seed: int, device: str) -> Increments:
    """A Brownian path on [start, end] that is the same for every way of cutting it into steps.

    Args:
        start: first time.
        end: last time.
        shape: of the path's values.
        seed: decides the path.
        device: "cpu" or "cuda", whose stream; computed on the CPU.
    """
    if device == "cpu":
        tree: Increments = BrownianTree(start, torch.zeros(shape), end, entropy=seed)
        return tree
    path: Increments = _PhiloxPath(
        t0=start,
        t1=end,
        size=shape,
        dtype=torch.float32,
        device="cpu",
        entropy=seed,
        tol=_TOLERANCE,
        pool_size=_POOL_SIZE,
        halfway_tree=True,
    )
    return path


class _PhiloxNoise:
    """Draws the numbers of a part of the path as a CUDA device does, and has its halves do the same."""

    __slots__ = ()

    def _randn(self, seed: int) -> Tensor:
        size: tuple[int, ...] = self._top._size  # type: ignore[attr-defined]
        return PhiloxGenerator(int(seed)).randn(size)

    def _split_exact(self, midway: float) -> None:
        part: Any = self
        super()._split_exact(midway)  # type: ignore[misc]
        # torchsde makes plain intervals; this class has the same layout
        part._left_child.__class__ = part._right_child.__class__ = _PhiloxInterval


class _PhiloxInterval(_PhiloxNoise, _Interval):  # type: ignore[misc]
    __slots__ = ()


class _PhiloxPath(_PhiloxNoise, BrownianInterval):  # type: ignore[misc]
    __slots__ = ()
