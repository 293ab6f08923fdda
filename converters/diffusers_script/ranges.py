"""Parts of sampling: graphflow counts them in training time, as other programs do; pipelines count steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def active_steps(
    config: Mapping[str, Any], *, sampler: str, schedule: str, steps: int, strength: float, start: float, end: float
) -> tuple[int, int, int]:
    """The steps in which something acts that begins and ends at shares of the training time.

    Args:
        config: The model's scheduler config.
        sampler: The sampler.
        schedule: The schedule.
        steps: Steps of it.
        strength: Share of the noise that is put on the latent.
        start: Share at which it begins.
        end: Share at which it ends.

    Returns:
        The first step, the one behind the last, and the number of steps.
    """
    from graphflow.sampling.prediction import ModelSampling
    from graphflow.sampling.schedules import make_sigmas

    sampling = ModelSampling.from_scheduler_config(config)
    sigmas = make_sigmas(schedule, sampling, steps, strength, sampler)[:-1]
    first = int((sigmas > sampling.percent_to_sigma(start)).sum())
    behind = int((sigmas >= sampling.percent_to_sigma(end)).sum())
    return first, behind, len(sigmas)


def pipeline_range(first: int, behind: int, count: int, start: float, end: float) -> tuple[str, str]:
    """What a pipeline must be told so that just these steps count: the shares themselves where that is enough."""
    wanted = [first <= step < behind for step in range(count)]
    if [not (step / count < start or (step + 1) / count > end) for step in range(count)] == wanted:
        return repr(start), repr(end)
    return f"{first} / {count}" if first else "0.0", f"{behind} / {count}" if behind < count else "1.0"


def time_before(config: Mapping[str, Any], *, sampler: str, schedule: str, steps: int, step: int) -> float | None:
    """The share of the training time that the steps before one take; None where that does not tell them from it."""
    from graphflow.sampling.prediction import ModelSampling
    from graphflow.sampling.schedules import make_sigmas

    sampling = ModelSampling.from_scheduler_config(config)
    sigmas = make_sigmas(schedule, sampling, steps, 1.0, sampler)
    count = len(sampling.sigmas)
    last, this = (round(float(sampling.timestep(sigmas[index]))) for index in (step - 1, step))
    return (count - last) / count if this < last else None
