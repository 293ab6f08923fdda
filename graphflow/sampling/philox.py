"""The random normal numbers of CUDA devices, computed anywhere.

Philox4x32-10 (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11) in the layout of
`torch.randn(..., device="cuda")`: element i of a draw is the first number of Box and Muller's pair that thread i makes
from the counter (draw, 0, i, 0) and the seed as key. That holds while a draw has no more elements than the device has
resident threads, from about 100,000; a latent of 1024 x 1024 pixels has 65,536.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Words: TypeAlias = npt.NDArray[np.uint64]
"""32-bit words in 64-bit integers, so that products fit."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_SCALE = np.float32(2**-32)
_TURN = np.float32(2 * math.pi * 2**-32)


class PhiloxGenerator:
    """A CUDA generator's normal numbers.

    Args:
        seed: 0 to 2**64 - 1.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.draws = 0

    def randn(self, shape: Sequence[int]) -> Tensor:
        """The next standard normal numbers, float32, on the CPU."""
        count = math.prod(shape)
        index: Words = np.arange(count, dtype=np.uint64)
        zero: Words = np.zeros(count, dtype=np.uint64)
        words = philox_4x32((zero + np.uint64(self.draws), zero, index & _LOW, index >> _HALF), self.seed)
        self.draws += 1
        u = words[0].astype(np.float32) * _SCALE + _SCALE / 2
        v = words[1].astype(np.float32) * _TURN + _TURN / 2
        normal = np.sqrt(np.float32(-2.0) * np.log(u)) * np.sin(v)
        return torch.from_numpy(normal.astype(np.float32).reshape(tuple(shape)))


def philox_4x32(counter: tuple[Words, Words, Words, Words], key: int) -> tuple[Words, Words, Words, Words]:
    """Ten rounds of Philox on counters of four 32-bit words.

    Args:
        counter: four arrays (n,), the least significant words first.
        key: 64 bits.
    """
    a, b, c, d = counter
    low, high = key & 0xFFFFFFFF, key >> 32
    for _ in range(_ROUNDS):
        first, second = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            (second >> _HALF) ^ b ^ np.uint64(low),
            second & _LOW,
            (first >> _HALF) ^ d ^ np.uint64(high),
            first & _LOW,
        )
        low, high = (low + _WEYL[0]) & 0xFFFFFFFF, (high + _WEYL[1]) & 0xFFFFFFFF
    return a, b, c, d
