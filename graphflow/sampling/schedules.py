"""Schedules: which noise levels a sampler visits, from the noisiest down to zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

import torch
from torch import Tensor

from .errors import SamplingError
from .names import SCHEDULE_NAMES
from .prediction import ModelSampling
from .samplers import SAMPLERS

Schedule = Callable[[ModelSampling, int], Tensor]
"""(model_sampling, steps) -> (steps + 1,) float32 noise levels, descending, the last one 0."""

MOST_LEVELS = 1_000_000
"""Steps of the longest schedule of which a low strength may take the end."""

FULL_STRENGTH = 0.9999
"""Strengths above this count as 1."""


def make_sigmas(
    name: str, model_sampling: ModelSampling, steps: int, strength: float = 1.0, sampler: str | None = None
) -> Tensor:
    """Noise levels for `steps` steps.

    Args:
        name: a name of `names.SCHEDULE_NAMES`.
        model_sampling: the model's noise levels.
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
    sigmas = schedule(model_sampling, total + 1 if discard else total)
    if discard:
        sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    return sigmas if strength > FULL_STRENGTH else sigmas[-(steps + 1) :]


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Even steps in sigma^(1/rho) (Karras et al. 2022, arXiv:2206.00364, equation 5), then 0.

    Raises:
        SamplingError: `rho` is so small that the powers have no place in a float.
    """
    ramp = torch.linspace(0, 1, steps)
    try:
        low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    except OverflowError:
        raise SamplingError(f"rho {rho} is too small", where="rho", advice="7 is usual") from None
    return _then_zero((high + ramp * (low - high)) ** rho)


def exponential_sigmas(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Even steps in log sigma, then 0."""
    return _then_zero(torch.linspace(math.log(sigma_max), math.log(sigma_min), steps).exp())


def polyexponential_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """Steps in log sigma that are polynomial of degree `rho`, then 0 (k-diffusion)."""
    ramp = torch.linspace(1, 0, steps) ** rho
    return _then_zero(torch.exp(ramp * (math.log(sigma_max) - math.log(sigma_min)) + math.log(sigma_min)))


def vp_sigmas(steps: int, beta_d: float = 19.9, beta_min: float = 0.1, eps_s: float = 1e-3) -> Tensor:
    """Even steps in the time of the continuous variance-preserving process (Song et al. 2021, arXiv:2011.13456)."""
    t = torch.linspace(1, eps_s, steps)
    return _then_zero(torch.sqrt(torch.expm1(beta_d * t**2 / 2 + beta_min * t)))


def laplace_sigmas(steps: int, sigma_min: float, sigma_max: float, mu: float = 0.0, beta: float = 0.5) -> Tensor:
    """Quantiles of a Laplace distribution of log sigma (Hang et al. 2024, arXiv:2407.03297).

    Returns:
        (steps,) float32, clamped to [sigma_min, sigma_max]; no zero at the end.
    """
    p = torch.linspace(0, 1, steps)
    log_sigma = mu - beta * torch.sign(0.5 - p) * torch.log(1 - 2 * torch.abs(0.5 - p) + 1e-5)
    return torch.clamp(torch.exp(log_sigma), min=sigma_min, max=sigma_max)


def beta_sigmas(model_sampling: ModelSampling, steps: int, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """Times at quantiles of a Beta distribution, then 0 (Lee et al. 2024, "Beta Sampling is All You Need").

    arXiv:2407.12173. Two times that fall on the same training step count once.
    """
    import numpy as np
    from scipy.special import betaincinv

    last = len(model_sampling.sigmas) - 1
    quantiles = betaincinv(alpha, beta, 1 - np.linspace(0, 1, steps, endpoint=False))
    index = torch.from_numpy(np.rint(quantiles * last).astype(np.int64))
    return _then_zero(model_sampling.sigmas[torch.unique_consecutive(index)])


TURBO_STEPS = 10
"""Parts of training time between which distilled "turbo" models step (Sauer et al. 2023, arXiv:2311.17042)."""


def turbo_sigmas(model_sampling: ModelSampling, steps: int, strength: float = 1.0) -> Tensor:
    """The first `steps` of ten even times from the noisiest, or from the share `strength` of them on, then 0."""
    start = TURBO_STEPS - int(TURBO_STEPS * strength)
    times = torch.arange(TURBO_STEPS, 0, -1) * (1000 // TURBO_STEPS) - 1
    return _then_zero(model_sampling.sigma(times[start : start + steps]))


def _simple(model_sampling: ModelSampling, steps: int) -> Tensor:
    stride = len(model_sampling.sigmas) / steps
    picked = [-(1 + int(i * stride)) for i in range(steps)]
    return _then_zero(model_sampling.sigmas[torch.tensor(picked)])


def _time_range(model_sampling: ModelSampling) -> tuple[float, float]:
    return float(model_sampling.timestep(model_sampling.sigma_max)), float(
        model_sampling.timestep(model_sampling.sigma_min)
    )


def _normal(model_sampling: ModelSampling, steps: int) -> Tensor:
    start, end = _time_range(model_sampling)
    return _then_zero(model_sampling.sigma(torch.linspace(start, end, steps)))


def _sgm_uniform(model_sampling: ModelSampling, steps: int) -> Tensor:
    start, end = _time_range(model_sampling)
    return _then_zero(model_sampling.sigma(torch.linspace(start, end, steps + 1)[:-1]))


def _ddim_uniform(model_sampling: ModelSampling, steps: int) -> Tensor:
    stride = max(len(model_sampling.sigmas) // steps, 1)
    return _then_zero(model_sampling.sigmas[1::stride].flip(0))


def _linear_quadratic(model_sampling: ModelSampling, steps: int, threshold: float = 0.025) -> Tensor:
    """The schedule of Mochi 1 and Movie Gen (Polyak et al. 2024, arXiv:2410.13720)."""
    if steps == 1:
        return torch.tensor([1.0, 0.0]) * model_sampling.sigma_max
    linear = steps // 2
    quadratic = steps - linear
    done = [i * threshold / linear for i in range(linear)]
    step_difference = linear - threshold * steps
    a = step_difference / (linear * quadratic**2)
    b = threshold / linear - 2 * step_difference / quadratic**2
    c = a * linear**2
    done += [a * i**2 + b * i + c for i in range(linear, steps)]
    return torch.tensor([1.0 - d for d in [*done, 1.0]]) * model_sampling.sigma_max


def _kl_optimal(model_sampling: ModelSampling, steps: int) -> Tensor:
    """Even steps in arctan sigma (Sabour et al. 2024, "Align Your Steps", arXiv:2404.14507, theorem 3.1)."""
    part = torch.arange(steps, dtype=torch.float32) / max(steps - 1, 1)
    low, high = torch.atan(model_sampling.sigma_min), torch.atan(model_sampling.sigma_max)
    return _then_zero((part * low + (1 - part) * high).tan())


def _then_zero(sigmas: Tensor) -> Tensor:
    if not sigmas.isfinite().all():
        raise SamplingError("these settings make noise levels that are not finite", advice="take less extreme ones")
    return torch.cat([sigmas.float(), torch.zeros(1)])


SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {
        "simple": _simple,
        "sgm_uniform": _sgm_uniform,
        "karras": lambda m, n: karras_sigmas(n, float(m.sigma_min), float(m.sigma_max)),
        "exponential": lambda m, n: exponential_sigmas(n, float(m.sigma_min), float(m.sigma_max)),
        "ddim_uniform": _ddim_uniform,
        "beta": beta_sigmas,
        "normal": _normal,
        "linear_quadratic": _linear_quadratic,
        "kl_optimal": _kl_optimal,
    }
)
"""Schedules by name."""
