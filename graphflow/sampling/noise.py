"""Noise: where a sample starts, and what stochastic samplers add at each step.

Everything is drawn on the CPU in float32, so one seed gives one picture on every device and in every compute
precision. Of two streams: torch's own on the CPU, or the one that CUDA devices make (see `philox`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from .errors import SamplingError
from .philox import PhiloxGenerator
from .samplers import StepNoise
from .samplers.base import NoiseKind

NoiseLayout = Literal["per_sample", "batch"]
"""`per_sample`: each item has its own generator, so the size of a batch changes nothing.
`batch`: one draw for the whole batch, as ComfyUI makes it."""

NoiseDevice = Literal["cpu", "cuda"]
"""Whose random stream: torch's on the CPU, or the one of CUDA devices; both are computed on the CPU."""

StepSeed = Literal["seed", "seed + 1"]
"""Where the stream of independent step noise starts: where the initial noise's does, so that both begin with the same
draw, or beside it, as ComfyUI has it since 0.7.0. Brownian paths always start from the seed."""

MAX_SEED = 2**64 - 1


class Stream(Protocol):
    """A seeded source of standard normal numbers."""

    def randn(self, shape: Sequence[int]) -> Tensor:
        """The next ones, float32, on the CPU."""
        ...


class CpuGenerator:
    """torch's CPU stream."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator("cpu").manual_seed(seed)

    def randn(self, shape: Sequence[int]) -> Tensor:
        """The next standard normal numbers, float32, on the CPU."""
        return torch.randn(tuple(shape), generator=self.generator)


def stream(device: NoiseDevice, seed: int) -> Stream:
    """The stream of a device from its start."""
    return PhiloxGenerator(seed) if device == "cuda" else CpuGenerator(seed)


def next_seed(seed: int) -> int:
    """The seed of a stream beside that of `seed`; 0 follows the highest."""
    return (seed + 1) % (MAX_SEED + 1)


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
    shape: Sequence[int],
    seed: int,
    layout: NoiseLayout = "per_sample",
    batch_index: Sequence[int] | None = None,
    device: NoiseDevice = "cpu",
) -> Tensor:
    """Standard normal noise for a batch of latents.

    Args:
        shape: (B, C, ...).
        seed: 0 to 2**64 - 1.
        layout: how the items of a batch share the seed.
        batch_index: for each item, its place in the batch whose noise it takes; 0, 1, 2, ... if None.
        device: whose stream.

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
        return torch.cat([stream(device, item_seed(seed, i)).randn(item) for i in indices])
    source = stream(device, seed)
    if batch_index is None:
        return source.randn(shape)
    drawn = [source.randn(item) for _ in range(max(batch_index) + 1)]
    return torch.cat([drawn[i] for i in batch_index])


def step_noise(
    kind: NoiseKind,
    x: Tensor,
    sigmas: Tensor,
    seed: int,
    layout: NoiseLayout = "per_sample",
    device: NoiseDevice = "cpu",
    start: StepSeed = "seed",
) -> StepNoise:
    """The noise a stochastic sampler draws on its way.

    Independent draws start a stream of their own rather than continue the initial noise's. A Brownian path is the same
    for every way of cutting it into steps.

    Args:
        kind: what the sampler needs.
        x: latent (B, C, ...) whose shape and device the noise has.
        sigmas: all noise levels the sampler visits.
        seed: 0 to 2**64 - 1.
        layout: how the items of a batch share the seed.
        device: whose stream; a Brownian path follows it where the sampler's name says so (`_gpu`), else it is the CPU's.
        start: where independent draws of the CPU's stream start; those of CUDA devices start from the seed.
    """
    _check_seed(seed)
    match kind:
        case "none":
            return _no_noise
        case "gaussian":
            beside = start == "seed + 1" and device == "cpu"
            return _Independent(x, next_seed(seed) if beside else seed, layout, device)
        case "brownian":
            return _Brownian(x, sigmas, seed, layout, "cpu")
        case "brownian_device":
            return _Brownian(x, sigmas, seed, layout, device)


def several(seeds: Sequence[int], x: Tensor, make: Callable[[Tensor, int], StepNoise]) -> StepNoise:
    """The step noise of samplings that run as one batch: each has a source of its own for its part of the items.

    Args:
        seeds: One each.
        x: latent (B, C, ...), whose items belong to the samplings in equal parts.
        make: makes the source of one, given its part of the latent and its seed.
    """
    parts = [make(part, seed) for part, seed in zip(x.chunk(len(seeds)), seeds, strict=True)]
    if len(parts) == 1:
        return parts[0]
    return lambda sigma, sigma_next: torch.cat([part(sigma, sigma_next) for part in parts])


def _check_seed(seed: int) -> None:
    if not 0 <= seed <= MAX_SEED:
        raise SamplingError(f"seed must be from 0 to 2**64 - 1, got {seed}")


def _no_noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
    raise SamplingError("a sampler registered without noise asked for some")


class _Independent:
    """A new draw at each call."""

    def __init__(self, x: Tensor, seed: int, layout: NoiseLayout, device: NoiseDevice) -> None:
        self.device = x.device
        if layout == "batch":
            self.streams = [stream(device, seed)]
            self.shape = tuple(x.shape)
        else:
            self.streams = [stream(device, item_seed(seed, i)) for i in range(x.shape[0])]
            self.shape = (1, *x.shape[1:])

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        return torch.cat([source.randn(self.shape) for source in self.streams]).to(self.device)


class _Brownian:
    """Increments of a Brownian path over sigma, divided by their standard deviation.

    The levels must be passed on exactly: a change in the last bit of a float32 level moves the noise by 3e-3,
    because the tree rounds times to its tolerance, six decimals.
    """

    DECIMALS = 6

    def __init__(self, x: Tensor, sigmas: Tensor, seed: int, layout: NoiseLayout, device: NoiseDevice) -> None:
        from .brownian import brownian_tree

        self.device, self.shape = x.device, x.shape
        low, high = float(sigmas[sigmas > 0].min()), float(sigmas.max())
        self.low, self.high = round(low, self.DECIMALS), round(high, self.DECIMALS)
        shape, count = (tuple(x.shape), 1) if layout == "batch" else ((1, *x.shape[1:]), len(x))
        self.trees = [brownian_tree(low, high, shape, item_seed(seed, i), device) for i in range(count)]

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        ends = sorted((float(sigma), float(sigma_next)))
        # the tree's own ends are rounded, so the schedule's may lie just outside
        start, end = (min(max(level, self.low), self.high) for level in ends)
        if start == end:  # Closer than the tree tells apart.
            return torch.zeros(self.shape, device=self.device)
        path = torch.cat([tree(start, end) for tree in self.trees]).to(self.device)
        sign = 1.0 if sigma < sigma_next else -1.0
        return sign * path / (sigma_next - sigma).abs().sqrt()
