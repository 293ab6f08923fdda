"""Noise: where a sample starts, and what stochastic samplers add at each step.

Everything is drawn on the CPU in float32, so one seed gives one picture on every device and in every
compute precision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from .errors import SamplingError
from .samplers import StepNoise
from .samplers.base import NoiseKind

NoiseLayout = Literal["per_sample", "batch"]
"""`per_sample`: each item has its own generator, so the size of a batch changes nothing.
`batch`: one draw for the whole batch, as ComfyUI makes it."""

MAX_SEED = 2**64 - 1


def item_seed(seed: int, index: int) -> int:
    """The seed of item `index` of a batch.

    Item 0 has the seed itself. Others have the first 8 bytes, little endian, of SHA-256 of the ASCII text
    "graphflow noise {seed} {index}".
    """
    if index == 0:
        return seed
    digest = hashlib.sha256(f"graphflow noise {seed} {index}".encode("ascii")).digest()
    return int.from_bytes(digest[:8], "little")


def initial_noise(
    shape: Sequence[int], seed: int, layout: NoiseLayout = "per_sample", batch_index: Sequence[int] | None = None
) -> Tensor:
    """Standard normal noise for a batch of latents.

    Args:
        shape: (B, C, ...).
        seed: 0 to 2**64 - 1.
        layout: how the items of a batch share the seed.
        batch_index: for each item, its place in the batch whose noise it takes; 0, 1, 2, ... if None.

    Returns:
        `shape`, float32, on the CPU.

    Raises:
        SamplingError: the seed is out of range, or there are not as many indices as items.
    """
    _check_seed(seed)
    if batch_index is not None and len(batch_index) != shape[0]:
        raise SamplingError(f"batch_index has {len(batch_index)} entries for a batch of {shape[0]}")
    item = (1, *shape[1:])
    if layout == "per_sample":
        indices = range(shape[0]) if batch_index is None else batch_index
        return torch.cat([torch.randn(item, generator=_generator(item_seed(seed, i))) for i in indices])
    generator = _generator(seed)
    if batch_index is None:
        return torch.randn(tuple(shape), generator=generator)
    drawn = [torch.randn(item, generator=generator) for _ in range(max(batch_index) + 1)]
    return torch.cat([drawn[i] for i in batch_index])


def step_noise(kind: NoiseKind, x: Tensor, sigmas: Tensor, seed: int, layout: NoiseLayout = "per_sample") -> StepNoise:
    """The noise a stochastic sampler draws on its way.

    Independent draws restart a generator at the seed rather than continue the initial noise's. A Brownian
    path is the same for every way of cutting it into steps.

    Args:
        kind: what the sampler needs.
        x: latent (B, C, ...) whose shape and device the noise has.
        sigmas: all noise levels the sampler visits.
        seed: 0 to 2**64 - 1.
        layout: how the items of a batch share the seed.
    """
    _check_seed(seed)
    match kind:
        case "none":
            return _no_noise
        case "gaussian":
            return _Independent(x, seed, layout)
        case "brownian" | "brownian_device":
            return _Brownian(x, sigmas, seed, layout, on_device=kind == "brownian_device")


def _check_seed(seed: int) -> None:
    if not 0 <= seed <= MAX_SEED:
        raise SamplingError(f"seed must be from 0 to 2**64 - 1, got {seed}")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def _no_noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
    raise SamplingError("a sampler registered without noise asked for some")


class _Independent:
    """A new draw at each call."""

    def __init__(self, x: Tensor, seed: int, layout: NoiseLayout) -> None:
        self.device = x.device
        if layout == "batch":
            self.generators = [_generator(seed)]
            self.shape = tuple(x.shape)
        else:
            self.generators = [_generator(item_seed(seed, i)) for i in range(x.shape[0])]
            self.shape = (1, *x.shape[1:])

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        return torch.cat([torch.randn(self.shape, generator=g) for g in self.generators]).to(self.device)


class _Brownian:
    """Increments of a Brownian path over sigma, divided by their standard deviation.

    The levels must be passed on exactly: a change in the last bit of a float32 level moves the noise by 3e-3,
    because the tree rounds times to its tolerance, six decimals.
    """

    DECIMALS = 6

    def __init__(self, x: Tensor, sigmas: Tensor, seed: int, layout: NoiseLayout, *, on_device: bool) -> None:
        import torchsde

        self.device = x.device
        low, high = float(sigmas[sigmas > 0].min()), float(sigmas.max())
        self.low, self.high = round(low, self.DECIMALS), round(high, self.DECIMALS)
        start = torch.zeros_like(x, device=x.device if on_device else "cpu")
        parts = [start] if layout == "batch" else list(start.split(1))
        seeds = [item_seed(seed, i) for i in range(len(parts))]
        self.trees = [torchsde.BrownianTree(low, part, high, entropy=s) for part, s in zip(parts, seeds, strict=True)]

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        ends = sorted((float(sigma), float(sigma_next)))
        # the tree's own ends are rounded, so the schedule's may lie just outside
        start, end = max(ends[0], self.low), min(ends[1], self.high)
        path = torch.cat([tree(start, end) for tree in self.trees]).to(self.device)
        sign = 1.0 if sigma < sigma_next else -1.0
        return sign * path / (sigma_next - sigma).abs().sqrt()
