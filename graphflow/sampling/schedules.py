"""Schedules: which noise levels a sampler visits, from the noisiest down to zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from .checks import finite_levels
from .errors import SamplingError
from .levels import Levels
from .names import SCHEDULE_NAMES
from .samplers import SAMPLERS

Schedule = Callable[[Levels, int], Tensor]
"""(levels, steps) -> (steps + 1,) float32 noise levels, descending, the last one 0."""

MOST_LEVELS = 1_000_000
"""Steps of the longest schedule of which a low strength may take the end."""

FULL_STRENGTH = 0.9999
"""Strengths above this count as 1."""


def make_sigmas(name: str, levels: Levels, steps: int, strength: float = 1.0, sampler: str | None = None) -> Tensor:
    """Noise levels for `steps` steps.

    Args:
        name: a name of `names.SCHEDULE_NAMES`.
        levels: the model's noise levels.
        steps: number of steps, at least 1.
        strength: below 1, the last steps + 1 levels of a schedule of int(steps / strength) steps, so the
            number of steps stays and sampling starts at a lower noise level; 0 gives no levels.
        sampler: name of the sampler that will walk the schedule; some leave out the level before the last.

    Returns:
        (steps + 1,) float32 on the CPU, descending, the last one 0. `ddim_uniform` may have one level
        more, and `beta` fewer where two times fall on the same training step.

    Raises:
        SamplingError: an unknown name, steps below 1, or strength outside [0, 1] or far too low.
    """
    schedule = SCHEDULES.get(name)
    if schedule is None:
        near = get_close_matches(name, SCHEDULE_NAMES, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(SCHEDULE_NAMES)}"
        raise SamplingError(f"unknown schedule {name!r}", advice=advice)
    if steps < 1:
        raise SamplingError(f"steps must be at least 1, got {steps}")
    if not 0.0 <= strength <= 1.0:
        raise SamplingError(f"strength must be from 0 to 1, got {strength}")
    if strength == 0.0:
        return torch.zeros(0)
    discard = sampler is not None and sampler in SAMPLERS and SAMPLERS[sampler].discards_penultimate
    total = steps if strength > FULL_STRENGTH else int(min(steps / strength, 2 * MOST_LEVELS))
    if total > MOST_LEVELS:
        raise SamplingError(
            f"{steps} steps at strength {strength} are the end of a schedule of more than {MOST_LEVELS:,} steps",
            where="strength",
            advice="raise strength, or set it to 0 to leave the latent as it is",
        )
    sigmas = schedule(levels, total + 1 if discard else total)
    if discard:
        sigmas = without_penultimate(sigmas)
    return sigmas if strength > FULL_STRENGTH else last_levels(sigmas, steps)


def then_zero(sigmas: Tensor) -> Tensor:
    """Noise levels, then none."""
    return torch.cat([sigmas.float(), torch.zeros(1)])


def last_levels(sigmas: Tensor, steps: int) -> Tensor:
    """The last steps of a longer schedule: sampling starts at less noise."""
    return sigmas[-(steps + 1) :]


def without_penultimate(sigmas: Tensor) -> Tensor:
    """Noise levels without the one before the last, which some samplers leave out."""
    return torch.cat([sigmas[:-2], sigmas[-1:]])


@finite_levels
def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Even steps in sigma^(1/rho), then 0 (Karras et al. 2022, arXiv:2206.00364).

    Raises:
        OverflowError: `rho` is so small that the powers have no place in a float.
    """
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return then_zero((high + torch.linspace(0, 1, steps) * (low - high)) ** rho)


@finite_levels
def exponential_sigmas(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Even steps in log sigma, then 0."""
    ends = math.log(sigma_max), math.log(sigma_min)
    return then_zero(torch.linspace(*ends, steps).exp())


@finite_levels
def polyexponential_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """Steps in log sigma that are polynomial of degree `rho`, then 0 (k-diffusion)."""
    ramp, low = torch.linspace(1, 0, steps) ** rho, math.log(sigma_min)
    return then_zero(torch.exp(ramp * (math.log(sigma_max) - low) + low))


@finite_levels
def vp_sigmas(steps: int, beta_d: float = 19.9, beta_min: float = 0.1, eps_s: float = 0.001) -> Tensor:
    """Even steps in time of the variance-preserving process (Song et al. 2021, arXiv:2011.13456), then 0."""
    t = torch.linspace(1, eps_s, steps)
    return then_zero(torch.sqrt(torch.expm1(beta_d * t**2 / 2 + beta_min * t)))


def laplace_sigmas(steps: int, sigma_min: float, sigma_max: float, mu: float = 0.0, beta: float = 0.5) -> Tensor:
    """Quantiles of a Laplace distribution of log sigma (Hang et al. 2024, arXiv:2407.03297).

    Returns:
        (steps,) float32, clamped to [sigma_min, sigma_max]; no zero at the end.
    """
    off = 0.5 - torch.linspace(0, 1, steps)
    logs = mu - beta * torch.sign(off) * torch.log(1 - 2 * torch.abs(off) + 1e-5)
    return torch.clamp(torch.exp(logs), min=sigma_min, max=sigma_max)


def beta_sigmas(levels: Levels, steps: int, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """Times at quantiles of a Beta distribution, then 0 (Lee et al. 2024, arXiv:2407.12173).

    "Beta Sampling is All You Need". Two times that fall on the same training step count once.
    """
    from scipy.special import betaincinv

    quantiles = betaincinv(alpha, beta, 1 - np.linspace(0, 1, steps, endpoint=False))
    index = np.rint(quantiles * (len(levels.sigmas) - 1)).astype(np.int64)
    return then_zero(levels.sigmas[torch.unique_consecutive(torch.from_numpy(index))])


TURBO_STEPS = 10
"""Parts of training time between which distilled "turbo" models step (Sauer et al. 2023, arXiv:2311.17042)."""


def turbo_sigmas(levels: Levels, steps: int, strength: float = 1.0) -> Tensor:
    """The first of ten even times from the noisiest, or from a share of them on, then 0."""
    start = TURBO_STEPS - int(TURBO_STEPS * strength)
    times = torch.arange(TURBO_STEPS, 0, -1) * (1000 // TURBO_STEPS) - 1
    return then_zero(levels.sigma(times[start : start + steps]))


def simple_sigmas(levels: Levels, steps: int) -> Tensor:
    """Every k-th training level, from the noisiest, then 0."""
    stride = len(levels.sigmas) / steps
    picked = [-(1 + int(i * stride)) for i in range(steps)]
    return then_zero(levels.sigmas[torch.tensor(picked)])


def time_range(levels: Levels) -> tuple[float, float]:
    """The times of the highest and of the lowest level."""
    first, last = levels.timestep(levels.sigmas[[-1, 0]]).tolist()
    return first, last


def normal_sigmas(levels: Levels, steps: int) -> Tensor:
    """Even steps in time, down to the lowest training level, then 0."""
    return then_zero(levels.sigma(torch.linspace(*time_range(levels), steps)))


def sgm_uniform_sigmas(levels: Levels, steps: int) -> Tensor:
    """Even steps in time, without the lowest training level, then 0."""
    times = torch.linspace(*time_range(levels), steps + 1)[:-1]
    return then_zero(levels.sigma(times))


def ddim_uniform_sigmas(levels: Levels, steps: int) -> Tensor:
    """Every k-th training level, from the cleanest, then 0."""
    stride = max(len(levels.sigmas) // steps, 1)
    return then_zero(levels.sigmas[1::stride].flip(0))


def linear_quadratic_sigmas(levels: Levels, steps: int, threshold: float = 0.025) -> Tensor:
    """A few small even steps, then quadratic ones (Polyak et al. 2024, arXiv:2410.13720).

    The schedule of Mochi 1 and Movie Gen.
    """
    if steps == 1:
        return torch.tensor([1.0, 0.0]) * levels.sigmas[-1]
    linear = steps // 2
    quadratic = steps - linear
    done = [i * threshold / linear for i in range(linear)]
    step_difference = linear - threshold * steps
    a = step_difference / (linear * quadratic**2)
    b = threshold / linear - 2 * step_difference / quadratic**2
    c = a * linear**2
    done += [a * i**2 + b * i + c for i in range(linear, steps)]
    return torch.tensor([1.0 - d for d in [*done, 1.0]]) * levels.sigmas[-1]


def kl_optimal_sigmas(levels: Levels, steps: int) -> Tensor:
    """Even steps in arctan sigma, then 0 (Sabour et al. 2024, arXiv:2404.14507, theorem 3.1)."""
    part = torch.arange(steps, dtype=torch.float32) / max(steps - 1, 1)
    low, high = torch.atan(levels.sigmas[0]), torch.atan(levels.sigmas[-1])
    return then_zero((part * low + (1 - part) * high).tan())


def align_your_steps_sigmas(levels: Tensor, steps: int) -> Tensor:
    """Optimised noise levels, interpolated log-linearly to other numbers of steps, then 0.

    Args:
        levels: falling; a value of `align_your_steps.ALIGN_YOUR_STEPS` or found for another model.
        steps: number of steps.

    Returns:
        (steps + 1,) float32.
    """
    logs = levels.double().log()
    place = torch.arange(steps, dtype=torch.float64) * (len(logs) - 1) / steps
    low = place.floor().long()
    sigmas = torch.lerp(logs[low], logs[low + 1], place.frac()).exp()
    return then_zero(sigmas)


def model_karras_sigmas(levels: Levels, steps: int) -> Tensor:
    """Even steps in sigma^(1/7) between a model's levels, then 0."""
    return karras_sigmas(steps, *levels.sigmas[[0, -1]].tolist())


def model_exponential_sigmas(levels: Levels, steps: int) -> Tensor:
    """Even steps in log sigma between a model's levels, then 0."""
    return exponential_sigmas(steps, *levels.sigmas[[0, -1]].tolist())


SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {
        "simple": simple_sigmas,
        "sgm_uniform": sgm_uniform_sigmas,
        "karras": model_karras_sigmas,
        "exponential": model_exponential_sigmas,
        "ddim_uniform": ddim_uniform_sigmas,
        "beta": beta_sigmas,
        "normal": normal_sigmas,
        "linear_quadratic": linear_quadratic_sigmas,
        "kl_optimal": kl_optimal_sigmas,
    }
)
"""Schedules by name."""
