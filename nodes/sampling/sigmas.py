"""Nodes that make schedules, the noise levels that a sampler visits, and change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.sampling.published import ALIGN_YOUR_STEPS_NAMES
from graphflow.spec.decorator import node
from graphflow.values import Model, Sigmas

from ..choices import ScheduleName

if TYPE_CHECKING:
    from torch import Tensor

    Published = str
else:
    Published = Literal[ALIGN_YOUR_STEPS_NAMES]

__all__ = [
    "align_your_steps_sigmas",
    "beta_sigmas",
    "exponential_sigmas",
    "extend_sigmas",
    "flip_sigmas",
    "karras_sigmas",
    "laplace_sigmas",
    "make_sigmas",
    "percent_to_sigma",
    "polyexponential_sigmas",
    "scale_sigmas",
    "set_first_sigma",
    "sigmas_from_list",
    "split_sigmas",
    "split_sigmas_at_strength",
    "turbo_sigmas",
    "vp_sigmas",
]

Denoiser = Annotated[Model, Field(description="the model whose noise levels they are")]
Steps = Annotated[int, Field(ge=1, le=LIMITS.steps, description="steps of the schedule")]
Levels = Annotated[Sigmas, Field(description="the schedule")]
Level = Annotated[float, Field(ge=0, le=20000)]
SigmaMax = Annotated[float, Field(gt=0, le=20000, description="highest noise level")]
SigmaMin = Annotated[float, Field(gt=0, le=20000, description="lowest noise level above zero")]
Strength = Annotated[float, Field(ge=0, le=1, description="share of the noise; 1 starts from pure noise")]


@node("make_sigmas", lane="device", map=True)
def make_sigmas(
    model: Denoiser,
    schedule: Annotated[ScheduleName, Field(description="the schedule")] = "karras",
    steps: Steps = 20,
    strength: Strength = 1.0,
) -> Sigmas:
    """Make a schedule for a model: steps + 1 levels, the last one 0.

    With a strength s below 1: the last steps + 1 levels of a schedule of int(steps / s) steps.
    """
    from graphflow.sampling import schedules

    with model.use() as loaded:
        share = min(max(strength, 0.0), 1.0)  # links may carry more, or less
        return Sigmas(values=schedules.make_sigmas(schedule, loaded.model_sampling, steps, share))


@node("karras_sigmas")
def karras_sigmas(
    steps: Steps = 20,
    sigma_max: SigmaMax = 14.614642,
    sigma_min: SigmaMin = 0.0291675,
    rho: Annotated[float, Field(gt=0, le=100, description="higher has more steps at low noise")] = 7.0,
) -> Sigmas:
    """Make even steps in sigma^(1/rho) (Karras et al. 2022, arXiv:2206.00364), then 0.

    Raises:
        InvalidInputError: rho is too small for numbers.
    """
    from graphflow.sampling import schedules

    return Sigmas(values=schedules.karras_sigmas(steps, sigma_min, sigma_max, rho))


@node("exponential_sigmas")
def exponential_sigmas(steps: Steps = 20, sigma_max: SigmaMax = 14.614642, sigma_min: SigmaMin = 0.0291675) -> Sigmas:
    """Make even steps in log sigma, then 0."""
    from graphflow.sampling import schedules

    return Sigmas(values=schedules.exponential_sigmas(steps, sigma_min, sigma_max))


@node("polyexponential_sigmas")
def polyexponential_sigmas(
    steps: Steps = 20,
    sigma_max: SigmaMax = 14.614642,
    sigma_min: SigmaMin = 0.0291675,
    rho: Annotated[float, Field(ge=0, le=100, description="degree of the polynomial; 1 is exponential")] = 1.0,
) -> Sigmas:
    """Make steps that are a polynomial in log sigma, then 0."""
    from graphflow.sampling import schedules

    return Sigmas(values=schedules.polyexponential_sigmas(steps, sigma_min, sigma_max, rho))


@node("laplace_sigmas")
def laplace_sigmas(
    steps: Steps = 20,
    sigma_max: SigmaMax = 14.614642,
    sigma_min: SigmaMin = 0.0291675,
    mu: Annotated[float, Field(ge=-10, le=10, description="mean of log sigma")] = 0.0,
    beta: Annotated[float, Field(ge=0, le=10, description="spread of log sigma")] = 0.5,
) -> Sigmas:
    """Make quantiles of a Laplace distribution of log sigma (Hang et al. 2024, arXiv:2407.03297); no zero at the end."""
    from graphflow.sampling import schedules

    return Sigmas(values=schedules.laplace_sigmas(steps, sigma_min, sigma_max, mu, beta))


@node("vp_sigmas")
def vp_sigmas(
    steps: Steps = 20,
    beta_d: Annotated[float, Field(ge=0, le=5000, description="growth of the noise rate")] = 19.9,
    beta_min: Annotated[float, Field(ge=0, le=5000, description="noise rate at time 0")] = 0.1,
    eps_s: Annotated[float, Field(ge=0, le=1, description="time of the last step before zero")] = 0.001,
) -> Sigmas:
    """Make even steps in time of the variance-preserving process (Song et al. 2021, arXiv:2011.13456), then 0.

    Raises:
        InvalidInputError: The noise levels are not finite.
    """
    from graphflow.sampling import schedules

    return Sigmas(values=schedules.vp_sigmas(steps, beta_d, beta_min, eps_s))


@node("beta_sigmas", lane="device", map=True)
def beta_sigmas(
    model: Denoiser,
    steps: Steps = 20,
    alpha: Annotated[float, Field(gt=0, le=50, description="below 1: dense at the noisy end")] = 0.6,
    beta: Annotated[float, Field(gt=0, le=50, description="below 1: dense at the clean end")] = 0.6,
) -> Sigmas:
    """Make steps at quantiles of a Beta distribution of time (Lee et al. 2024, arXiv:2407.12173), then 0."""
    from graphflow.sampling import schedules

    with model.use() as loaded:
        return Sigmas(values=schedules.beta_sigmas(loaded.model_sampling, steps, alpha, beta))


@node("turbo_sigmas", lane="device", map=True)
def turbo_sigmas(
    model: Denoiser,
    steps: Annotated[int, Field(ge=1, le=10, description="steps, 1 to 4 for most")] = 1,
    strength: Strength = 1.0,
) -> Sigmas:
    """Make the steps of distilled "turbo" models: the first ones of ten even times, then 0.

    A strength below 1 leaves out the noisiest of the ten times.
    """
    from graphflow.sampling import schedules

    with model.use() as loaded:
        return Sigmas(values=schedules.turbo_sigmas(loaded.model_sampling, steps, strength))


@node("align_your_steps_sigmas")
def align_your_steps_sigmas(
    variant: Annotated[
        Published,
        Field(description="the model it was found for: SD 1.x, SDXL, Stable Video Diffusion"),
    ] = ALIGN_YOUR_STEPS_NAMES[0],
    steps: Steps = 10,
    strength: Annotated[
        float, Field(ge=0, le=1, description="share of the steps, the last ones, that are taken")
    ] = 1.0,
) -> Sigmas:
    """Make an optimised schedule (Sabour et al. 2024, arXiv:2404.14507), interpolated to other numbers of steps."""
    from graphflow.sampling.align_your_steps import ALIGN_YOUR_STEPS
    from graphflow.sampling.schedules import align_your_steps_sigmas as make

    taken = round(steps * strength)
    return Sigmas(values=make(ALIGN_YOUR_STEPS[variant], steps)[-(taken + 1) :] if taken else _none())


@node("sigmas_from_list")
def sigmas_from_list(
    values: Annotated[list[Level], Field(max_length=LIMITS.steps + 1, description="noise levels, the noisiest first")],
) -> Sigmas:
    """Take noise levels as they are written."""
    import torch

    return Sigmas(values=torch.tensor(values, dtype=torch.float32))


class SplitSigmas(NamedTuple):
    """Two parts of a schedule that share the level between them."""

    high: Annotated[Sigmas, Field(description="the noisy part")]
    low: Annotated[Sigmas, Field(description="the rest; its first level is the noisy part's last")]


@node("split_sigmas", map=True)
def split_sigmas(
    sigmas: Levels,
    step: Annotated[int, Field(ge=0, le=LIMITS.steps, description="how many steps the first part has")] = 0,
) -> SplitSigmas:
    """Cut a schedule in two after a number of steps, for sampling in two stages."""
    return SplitSigmas(Sigmas(values=sigmas.values[: step + 1]), Sigmas(values=sigmas.values[step:]))


@node("split_sigmas_at_strength", map=True)
def split_sigmas_at_strength(
    sigmas: Levels,
    strength: Annotated[float, Field(ge=0, le=1, description="share of the steps that the second part has")] = 1.0,
) -> SplitSigmas:
    """Cut a schedule in two so that the second part has a share of the steps."""
    from graphflow.sampling.changed_levels import split_at_strength

    high, low = split_at_strength(sigmas.values, strength)
    return SplitSigmas(Sigmas(values=high), Sigmas(values=low))


@node("flip_sigmas", map=True)
def flip_sigmas(sigmas: Levels) -> Sigmas:
    """Turn a schedule round, to go from a picture to noise; a zero that would be first becomes 0.0001."""
    from graphflow.sampling import changed_levels

    return Sigmas(values=changed_levels.flip_sigmas(sigmas.values))


@node("scale_sigmas", map=True)
def scale_sigmas(
    sigmas: Levels, factor: Annotated[float, Field(ge=0, le=100, description="factor on every level")] = 1.0
) -> Sigmas:
    """Multiply all levels of a schedule."""
    from graphflow.sampling import changed_levels

    return Sigmas(values=changed_levels.scale_sigmas(sigmas.values, factor))


@node("set_first_sigma", map=True)
def set_first_sigma(
    sigmas: Levels, sigma: Annotated[Level, Field(description="the new first level")] = 136.0
) -> Sigmas:
    """Replace the first level of a schedule.

    Raises:
        InvalidInputError: The schedule is empty.
    """
    from graphflow.sampling import changed_levels

    if not len(sigmas.values):
        raise InvalidInputError("the schedule has no levels", where="sigmas")
    return Sigmas(values=changed_levels.set_first_sigma(sigmas.values, sigma))


@node("extend_sigmas", map=True)
def extend_sigmas(
    sigmas: Levels,
    steps: Annotated[int, Field(ge=1, le=100, description="steps that one step becomes")] = 2,
    start_sigma: Annotated[
        float, Field(ge=-1, le=20000, description="steps above this level stay as they are; -1 has no limit")
    ] = -1.0,
    end_sigma: Annotated[Level, Field(description="steps below this level stay as they are")] = 12.0,
    spacing: Annotated[
        Literal["linear", "cosine", "sine"],
        Field(
            description="where the new levels lie: even, or denser at the end (cosine) or the start (sine) of the step"
        ),
    ] = "linear",
) -> Sigmas:
    """Cut each step that starts between two noise levels into several.

    Raises:
        LimitError: The schedule becomes too long.
    """
    from graphflow.sampling import changed_levels

    return Sigmas(values=changed_levels.extend_sigmas(sigmas.values, steps, start_sigma, end_sigma, spacing))


@node("percent_to_sigma", lane="device", map=True)
def percent_to_sigma(
    model: Denoiser,
    percent: Annotated[float, Field(ge=0, le=1, description="share of sampling: 0 is pure noise, 1 the picture")] = 0.0,
    actual: Annotated[
        bool, Field(description="at both ends give the model's highest and lowest level, not infinity and zero")
    ] = False,
) -> float:
    """Give the noise level at a share of sampling."""
    with model.use() as loaded:
        sampling = loaded.model_sampling
        if actual and percent in (0.0, 1.0):
            return float(sampling.sigma_max if percent == 0.0 else sampling.sigma_min)
        level: float = sampling.percent_to_sigma(percent)
        return level


def _none() -> Tensor:
    import torch

    return torch.zeros(0)
