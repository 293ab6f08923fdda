"""What every sampler receives and the few formulas that many of them share.

A sampler is a function `(denoise, x, sigmas, *, noise, callback, **options) -> x` that walks a latent x
(B, C, ...) from noise level sigmas[0] to sigmas[-1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import torch
from torch import Tensor

from graphflow.sampling.levels import Levels


class Denoiser(Protocol):
    """The guided model, D(x, sigma) -> x0."""

    @property
    def levels(self) -> Levels:
        """The model's noise levels."""
        ...

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean sample expected in `x` (B, C, ...) at the scalar noise level `sigma`."""
        ...

    def with_uncond(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The guided clean sample and the one of the negative conditioning alone."""
        ...


NoiseKind = Literal["none", "gaussian", "brownian", "brownian_device"]
"""Step noise of a sampler: none, independent normal draws, or a Brownian path drawn on the CPU or the device."""

StepNoise = Callable[[Tensor, Tensor], Tensor]
"""(sigma, sigma_next) -> standard normal noise for the step between these scalar noise levels."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a sampler, as its callback sees it.

    Attributes:
        index: from 0.
        x: latent before the step.
        sigma: its noise level.
        denoised: the clean sample predicted from it.
        share: how much of the way is done, 0 to 1, where the steps are not the schedule's; else None.
    """

    index: int
    x: Tensor
    sigma: Tensor
    denoised: Tensor
    share: float | None = None


Callback = Callable[[Step], None]


class SamplerFunction(Protocol):
    """One sampling method."""

    def __call__(
        self,
        denoise: Denoiser,
        x: Tensor,
        sigmas: Tensor,
        *,
        noise: StepNoise,
        callback: Callback,
    ) -> Tensor:
        """Walk x (B, C, ...) from noise level sigmas[0] to sigmas[-1]."""
        ...


def steps_of(sigmas: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(index, sigma, sigma_next) of each step."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        yield i, sigma, sigma_next


def derivative(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    """dx/dsigma of the probability flow ODE, (x - x0) / sigma; the same for flow models."""
    return (x - denoised) / sigma


@dataclass(frozen=True, slots=True)
class Ancestral:
    """How an ancestral step reaches sigma_next: down to `sigma_down`, then x * scale + noise * sigma_up."""

    sigma_down: Tensor
    sigma_up: Tensor
    scale: Tensor

    def renoise(
        self,
        x: Tensor,
        sigma: Tensor,
        sigma_next: Tensor,
        noise: StepNoise,
        s_noise: float,
    ) -> Tensor:
        """Add the noise of the step; nothing at the last one and where eta is 0."""
        if self.sigma_up == 0:
            return x
        return x * self.scale + noise(sigma, sigma_next) * s_noise * self.sigma_up


def ancestral_step(
    levels: Levels, sigma: Tensor, sigma_next: Tensor, eta: float
) -> Ancestral:
    """Split a step into a deterministic part and fresh noise with the right variance at its end.

    eta = 0 adds no noise, eta = 1 as much as ancestral sampling of DDPM does (Song et al. 2021,
    arXiv:2010.02502, equation 16). Flow models lower sigma by the same ratio once more and rescale,
    so that alpha = 1 - sigma still holds.
    """
    one = torch.ones_like(sigma)
    if eta == 0:
        return Ancestral(sigma_next, torch.zeros_like(sigma), one)
    if levels.is_flow:
        down = sigma_next * (1 + (sigma_next / sigma - 1) * eta)
        scale = (1 - sigma_next) / (1 - down)
        up = (sigma_next**2 - down**2 * scale**2).clamp(min=0) ** 0.5
        return Ancestral(down, up, scale)
    up = torch.minimum(
        sigma_next, eta * (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5
    )
    return Ancestral((sigma_next**2 - up**2) ** 0.5, up, one)


def negative_log(sigma: Tensor) -> Tensor:
    """The half log-SNR of a model with alpha = 1, t = -log sigma."""
    return sigma.log().neg()


def weights_from_moments(
    nodes: Sequence[float], moments: Sequence[float]
) -> list[float]:
    """Weights w_j with sum_j w_j nodes_j^k = moments_k, for k below the number of nodes.

    A rule that is exact for 1, u, u^2, ... is exact for the polynomial through the nodes: this is how linear
    multistep methods get their weights.
    """
    powers = torch.vander(torch.tensor(nodes, dtype=torch.float64), increasing=True).T
    solved: list[float] = torch.linalg.solve(
        powers, torch.tensor(moments, dtype=torch.float64)
    ).tolist()
    return solved
