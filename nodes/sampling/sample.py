"""The node that samples: noise to latents."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Annotated

from pydantic import Field

from graphflow import runtime
from graphflow.limits import LIMITS
from graphflow.spec.decorator import Seed, node
from graphflow.values import Conditioning, Latent, Model, Noise

from ..choices import NoiseDevice, NoiseLayout, SamplerName, ScheduleName, StepNoise, StepNoiseDevice
from .denoising import run_sampling
from .together import Calls, at_once, merged_conditioning, merging, repeated, taken_apart
from .versions import keep_ddim

__all__ = ["sample"]

Step = Annotated[int, Field(ge=0, le=LIMITS.steps)]


def _several(calls: Calls) -> Sequence[Latent]:
    return at_once(calls, _together, lambda call: sample(**call))


def _together(calls: Calls) -> list[Latent]:
    """Sample several calls at once, which differ in seed and prompts only."""
    latent: Latent = calls[0]["latent"]
    sides = {
        name: merged_conditioning([call.get(name) for call in calls], len(latent.samples))
        for name in ("positive", "negative")
    }
    bound = signature(sample).bind(**calls[0])
    bound.apply_defaults()
    seed = bound.arguments.pop("seed")
    seeds = tuple(call.get("seed", seed) for call in calls)
    told = {**bound.arguments, **sides, "latent": repeated(latent, len(calls))}
    return taken_apart(_sampled(seeds, **told), len(calls))


@node(
    "sample",
    version=2,
    migrate=keep_ddim,
    lane="device",
    generates=True,
    map=True,
    merging=merging(_several, frozenset({"seed", "positive", "negative"})),
)
def sample(
    model: Annotated[Model, Field(description="the denoising model")],
    positive: Annotated[Conditioning, Field(description="what the picture should show")],
    latent: Annotated[Latent, Field(description="where to start: empty for a new picture, encoded for image to image")],
    negative: Annotated[
        Conditioning | None,
        Field(description="what it should not show; without it guidance has nothing to compare with"),
    ] = None,
    seed: Seed = 0,
    steps: Annotated[int, Field(ge=1, le=LIMITS.steps, description="steps of the schedule")] = 20,
    guidance_scale: Annotated[
        float, Field(ge=0, le=100, description="how strongly to follow the prompt; 1 leaves the negative prompt out")
    ] = 7.0,
    sampler: Annotated[SamplerName, Field(description="the solver")] = "dpmpp_2m",
    schedule: Annotated[ScheduleName, Field(description="the noise levels that it visits")] = "karras",
    strength: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="share of the noise that is put on the latent; 1 starts from pure noise, 0 changes nothing",
        ),
    ] = 1.0,
    start_step: Annotated[Step, Field(description="leave out the steps before this one")] = 0,
    end_step: Annotated[Step | None, Field(description="stop before this step; none runs to the end")] = None,
    add_noise: Annotated[
        bool, Field(description="false where the latent carries noise already, as after an earlier stage")
    ] = True,
    leftover_noise: Annotated[
        bool, Field(description="where end_step stops early, leave the rest of the noise in for a later stage")
    ] = False,
    noise_layout: NoiseLayout = "per_sample",
    noise_device: NoiseDevice = "cpu",
    step_noise_device: StepNoiseDevice = "cpu",
    step_noise: StepNoise = "seed",
) -> Latent:
    """Denoise latents (B, C, h, w) along a schedule; the result has the same shape.

    With a strength s below 1, ``steps`` evaluations are made on the last steps + 1 noise levels of a schedule of
    int(steps / s) steps. Where no step lies between start_step and end_step the latent passes. A noise mask on the
    latent keeps everything outside it. What nodes put on the model (guidance, noise levels, changes of the network)
    acts here.

    Raises:
        InvalidInputError: Shapes do not fit.
        NonFiniteError: The model makes NaN.
    """
    arguments = dict(locals())
    return _sampled((arguments.pop("seed"),), **arguments)


def _sampled(
    seeds: tuple[int, ...],
    *,
    model: Model,
    positive: Conditioning,
    latent: Latent,
    negative: Conditioning | None,
    steps: int,
    guidance_scale: float,
    sampler: SamplerName,
    schedule: ScheduleName,
    strength: float,
    start_step: int,
    end_step: int | None,
    add_noise: bool,
    leftover_noise: bool,
    noise_layout: NoiseLayout,
    noise_device: NoiseDevice,
    step_noise_device: StepNoiseDevice,
    step_noise: StepNoise,
) -> Latent:
    """Sample as one batch what has a seed each; see :func:`sample`."""
    from graphflow.sampling.guidance import ClassifierFree
    from graphflow.sampling.loop import cut_sigmas
    from graphflow.sampling.schedules import make_sigmas

    if end_step is not None and end_step <= start_step:
        return _passed(latent, start_step, end_step)
    with model.use() as loaded:
        share = min(max(strength, 0.0), 1.0)  # links may carry more, or less
        sigmas = make_sigmas(schedule, loaded.model_sampling, steps, share, sampler)
        levels = cut_sigmas(sigmas, start_step=start_step, end_step=end_step, force_full_denoise=not leftover_noise)
        if len(sigmas) > 1 and len(levels) < 2:
            return _passed(latent, start_step, steps)
        result, _ = run_sampling(
            model,
            loaded,
            sides={"positive": positive} | ({} if negative is None else {"negative": negative}),
            guider=ClassifierFree(scale=guidance_scale),
            sampler=sampler,
            sigmas=levels,
            latent=latent,
            noise=Noise(
                seed=seeds[0],
                add=add_noise,
                layout=noise_layout,
                device=noise_device,
                step_device=step_noise_device,
                step_noise=step_noise,
            ),
            seeds=seeds,
        )
    return result


def _passed(latent: Latent, start_step: int, end_step: int) -> Latent:
    runtime.current().notice(
        f"no step lies between step {start_step} and step {end_step}, so the latent stays as it is"
    )
    return latent
