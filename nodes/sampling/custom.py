"""Nodes that take sampling apart: random numbers, guidance, and the loop itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import Seed, node
from graphflow.values import Conditioning, Guider, Latent, Noise, Sampler, Sigmas

from ..choices import Denoiser, NoiseDevice, NoiseLayout, StepNoise, StepNoiseDevice
from .denoising import run_sampling
from .together import Calls, at_once, merged_conditioning, merging, repeated, taken_apart
from .versions import unchanged

if TYPE_CHECKING:
    from torch import Tensor

    from graphflow.sampling.guidance import Guider as Formula
    from graphflow.sampling.samplers import Denoiser as Denoise
    from graphflow.sampling.samplers import Sampler as Method

__all__ = [
    "add_noise",
    "basic_guider",
    "cfg_guider",
    "dual_cfg_guider",
    "no_noise",
    "perp_neg_guider",
    "random_noise",
    "sample_custom",
]

Positive = Annotated[Conditioning, Field(description="what the picture should show")]
Negative = Annotated[Conditioning, Field(description="what it should not show")]
Scale = Annotated[float, Field(ge=0, le=100)]
GuidanceScale = Annotated[
    Scale, Field(description="how strongly to follow the prompt; 1 leaves the negative prompt out")
]


@node("random_noise", version=2, migrate=unchanged)
def random_noise(
    seed: Seed = 0,
    layout: NoiseLayout = "per_sample",
    device: NoiseDevice = "cpu",
    step_device: StepNoiseDevice = "cpu",
    step_noise: StepNoise = "seed",
) -> Noise:
    """Have sampling start from random noise, and take the noise of its steps from the same seed or beside it."""
    return Noise(seed=seed, layout=layout, device=device, step_device=step_device, step_noise=step_noise)


@node("no_noise", version=2, migrate=unchanged)
def no_noise(
    seed: Annotated[Seed, Field(description="seed of the noise that samplers add on their way")] = 0,
    layout: NoiseLayout = "per_sample",
    step_device: StepNoiseDevice = "cpu",
    step_noise: StepNoise = "seed",
) -> Noise:
    """Have sampling start from the latent as it is: it carries noise already, or shall get none."""
    return Noise(seed=seed, add=False, layout=layout, step_device=step_device, step_noise=step_noise)


@node("add_noise", lane="device", map=True)
def add_noise(
    model: Denoiser,
    noise: Annotated[Noise, Field(description="the random numbers")],
    sigmas: Annotated[Sigmas, Field(description="the noise goes from the first level of it down to the last")],
    latent: Annotated[Latent, Field(description="the latents")],
) -> Latent:
    """Put noise on latents (B, C, h, w), as much as lies between the ends of a schedule.

    Raises:
        InvalidInputError: The latent is another family's.
    """
    from graphflow.sampling.denoise import in_format
    from graphflow.sampling.latent_space import space_of
    from graphflow.sampling.noise import initial_noise

    if not len(sigmas.values) or not noise.add:
        return latent
    with model.use() as loaded:
        latent = in_format(latent, loaded.latent)
        ends = sigmas.values[0], sigmas.values[-1]
        level = (ends[0] - ends[1]).abs() if len(sigmas.values) > 1 else ends[0]
        space = space_of(loaded.latent)
        drawn = initial_noise(latent.samples.shape, noise.seed, noise.layout, latent.batch_index, noise.device)
        noisy = space.leave(loaded.model_sampling.noise_latent(level, drawn, space.enter(latent.samples)))
    return replace(latent, samples=noisy.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0))


@node("basic_guider", map=True)
def basic_guider(model: Denoiser, conditioning: Positive) -> Guider:
    """Follow one conditioning without guidance, as distilled models want it."""
    return Guider(model=model, method="unguided", sides={"positive": conditioning})


@node("cfg_guider", map=True)
def cfg_guider(model: Denoiser, positive: Positive, negative: Negative, guidance_scale: GuidanceScale = 7.0) -> Guider:
    """Classifier-free guidance: away from the negative conditioning (Ho and Salimans 2022, arXiv:2207.12598)."""
    return Guider(
        model=model,
        method="classifier_free",
        sides={"positive": positive, "negative": negative},
        options={"scale": guidance_scale},
    )


@node("dual_cfg_guider", version=2, map=True)
def dual_cfg_guider(
    model: Denoiser,
    positive: Positive,
    middle: Annotated[Conditioning, Field(description="what lies between the two, e.g. the picture without the text")],
    negative: Negative,
    guidance_scale: Annotated[Scale, Field(description="weight of positive against middle")] = 7.0,
    middle_scale: Annotated[Scale, Field(description="weight of middle against negative")] = 1.5,
    nested: Annotated[
        bool, Field(description="guide from middle to positive first, and to that from negative; scales then multiply")
    ] = False,
) -> Guider:
    """Guidance by two conditionings (InstructPix2Pix, Brooks et al. 2023, arXiv:2211.09800, equation 3)."""
    return Guider(
        model=model,
        method="dual_classifier_free",
        sides={"positive": positive, "middle": middle, "negative": negative},
        options={"scale": guidance_scale, "middle_scale": middle_scale, "nested": nested},
    )


@node("perp_neg_guider", map=True)
def perp_neg_guider(
    model: Denoiser,
    positive: Positive,
    negative: Negative,
    empty: Annotated[Conditioning, Field(description="the empty prompt")],
    guidance_scale: Annotated[Scale, Field(description="how strongly to follow the prompt")] = 7.0,
    negative_scale: Annotated[Scale, Field(description="how strongly to avoid the negative one")] = 1.0,
) -> Guider:
    """Perp-Neg: avoid only what is in the negative prompt and not in the positive one (arXiv:2304.04968)."""
    return Guider(
        model=model,
        method="perpendicular_negative",
        sides={"positive": positive, "negative": negative, "empty": empty},
        options={"scale": guidance_scale, "negative_scale": negative_scale},
    )


class Sampled(NamedTuple):
    """What sampling leaves behind."""

    latent: Annotated[Latent, Field(description="the latents at the last noise level")]
    denoised: Annotated[Latent, Field(description="the clean latents of the last evaluation")]


def _several(calls: Calls) -> Sequence[Sampled]:
    return at_once(calls, _together, lambda call: sample_custom(**call))


def _together(calls: Calls) -> list[Sampled]:
    """Sample several calls at once, which differ in seed and prompts only."""
    first: Guider = calls[0]["guider"]
    latent: Latent = calls[0]["latent"]
    sides = {
        name: merged_conditioning([call["guider"].sides[name] for call in calls], len(latent.samples))
        for name in first.sides
    }
    told = {
        **calls[0],
        "guider": replace(first, sides={name: side for name, side in sides.items() if side is not None}),
        "latent": repeated(latent, len(calls)),
    }
    parts = _sampled(tuple(call["noise"].seed for call in calls), **told)
    return list(map(Sampled, *(taken_apart(part, len(calls)) for part in parts)))


@node(
    "sample_custom",
    version=2,
    migrate=unchanged,
    lane="device",
    generates=True,
    map=True,
    merging=merging(
        _several,
        frozenset(),
        {"guider": frozenset({"conditioning", "positive", "middle", "negative"}), "noise": frozenset({"seed"})},
    ),
)
def sample_custom(
    guider: Annotated[Guider, Field(description="the model with its conditionings")],
    noise: Annotated[Noise, Field(description="the random numbers")],
    sampler: Annotated[Sampler, Field(description="the solver")],
    sigmas: Annotated[Sigmas, Field(description="the noise levels that it visits; fewer than two change nothing")],
    latent: Annotated[Latent, Field(description="where to start")],
) -> Sampled:
    """Denoise latents (B, C, h, w) along a given schedule, to its last level.

    Gives the latent at that level, which carries noise unless the level is 0, and the clean latent that the model saw in
    its last evaluation. A noise mask on the latent keeps everything outside it.

    Raises:
        InvalidInputError: Shapes do not fit, or a noise level is out of place.
        NonFiniteError: The model makes NaN.
    """
    return _sampled((noise.seed,), guider=guider, noise=noise, sampler=sampler, sigmas=sigmas, latent=latent)


def _sampled(
    seeds: tuple[int, ...], *, guider: Guider, noise: Noise, sampler: Sampler, sigmas: Sigmas, latent: Latent
) -> Sampled:
    """Sample as one batch what has a seed each; see :func:`sample_custom`."""
    from graphflow.sampling.samplers import get_sampler

    levels = sigmas.values
    if len(levels) > 1 and not float(levels[:-1].min()) > 0:
        raise InvalidInputError(
            "a noise level of 0 may stand only at the end of a schedule",
            where="sigmas",
            advice="take it out, or cut the schedule there with split_sigmas",
        )
    with guider.model.use() as loaded:
        latents = run_sampling(
            guider.model,
            loaded,
            sides=guider.sides,
            guider=_formula(guider),
            sampler=_told(get_sampler(sampler.name, sampler.options), sampler, guider),
            sigmas=levels,
            latent=latent,
            noise=noise,
            seeds=seeds,
        )
    return Sampled(*latents)


def _told(method: Method, sampler: Sampler, guider: Guider) -> Method:
    """Return the method, with a model that is told of less noise than there is where the sampler says so."""
    from graphflow.sampling.detail import DetailCurve, Understated

    options = dict(sampler.detail)
    if not options:
        return method
    strength = options.pop("strength")
    scale = float(guider.options.get("scale", 1.0) if strength is None else strength)
    curve = DetailCurve(**options)

    def told(denoise: Denoise, sigmas: Tensor) -> Denoise:
        return Understated(denoise, sigmas.tolist(), curve.values(len(sigmas) - 1), scale)

    return replace(method, told=told)


def _formula(guider: Guider) -> Formula:
    from graphflow.sampling.guiders import GUIDERS

    return GUIDERS[guider.method](**guider.options)
