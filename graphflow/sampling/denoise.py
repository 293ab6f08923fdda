"""Denoising a latent with a model in use: what is asked for is checked, completed, and given to the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphflow.basics.finite import require_finite
from graphflow.errors import InvalidInputError
from graphflow.modelfiles.families import installed
from graphflow.modelfiles.family import LatentFormat
from graphflow.runtime import Tape
from graphflow.values import Conditioning, Latent, Noise

from .evaluate import Predict, acts
from .guidance import NEGATIVE, POSITIVE, Guider
from .image_prompts import PROMPTS
from .latent_space import LatentSpace, space_of
from .loop import OnStep, sample
from .network import Denoiser
from .noise import initial_noise
from .planes import MAIN, OnPlanes, Planes
from .prediction import ModelSampling
from .resuming import Resuming
from .samplers import Sampler, get_sampler
from .scheduled_weights import MakeExchange, ScheduledPredict

NAN_ADVICE = (
    "try --dtype float32 or bfloat16, a lower guidance_scale, or another sampler; the model file may also be damaged"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What is to be denoised, and how.

    Attributes:
        denoiser: The model in use.
        family: Its family's name.
        sides: The conditionings by name; `positive` must be there.
        guider: Combines their predictions.
        sampler: The method, or its name.
        sigmas: (steps + 1,) noise levels.
        latent: Where to start.
        noise: Random numbers.
        seeds: Where several samplings of equal size run as one batch: the seed of each, in the order of their items; empty
            is that of `noise`.
        on_step: Called before each step is taken with (steps done, steps in all, x, denoised); it may raise to stop.
        notice: Tells the user something that is no error.
        max_items: Most items in one batch; None has no limit.
        tape: Keeps evaluations for a run that goes on after this one was interrupted; None keeps nothing.
        make_exchange: Makes the weights that entries ask for; None where none does.
    """

    denoiser: Denoiser
    family: str
    sides: Mapping[str, Conditioning]
    guider: Guider
    sampler: str | Sampler
    sigmas: Tensor
    latent: Latent
    noise: Noise
    on_step: OnStep
    notice: Callable[[str], None]
    max_items: int | None = None
    seeds: tuple[int, ...] = ()
    tape: Tape | None = None
    make_exchange: MakeExchange | None = None


def denoise(request: Request) -> tuple[Latent, Latent]:
    """Run the loop.

    Returns:
        The latent at the last noise level, and the clean one of the last evaluation; shapes as given, but that a
        picture for a model of videos has become one frame.

    Raises:
        InvalidInputError: Shapes do not fit.
        NonFiniteError: The model makes NaN.
    """
    denoiser, noise = request.denoiser, request.noise
    seeds = request.seeds or (noise.seed,)
    latent = in_format(request.latent, denoiser.latent)
    require_family(latent, request.family, "the model")
    planes = Planes.of(latent.samples, latent.further)
    if planes.changes and latent.noise_mask is not None:
        raise InvalidInputError(
            "a noise mask needs a latent of pictures", where="latent", advice="take the mask off it"
        )
    formats = {MAIN: denoiser.latent, **denoiser.latent.further}
    spaces = {name: space_of(formats[name]) for name, _ in planes.shapes}
    space = spaces[MAIN]
    samples = planes.lay({MAIN: latent.samples, **latent.further})
    if len(spaces) > 1:
        # Each tensor has a scale of its own, so the loop gets all of them in the model's space.
        samples = planes.lay({name: spaces[name].enter(part) for name, part in planes.lift(samples).items()})
        space = LatentSpace()
    height, width = (edge * denoiser.latent.downscale for edge in latent.samples.shape[-2:])
    completed = {
        name: denoiser.complete(side, height, width, negative=name == NEGATIVE, seed=noise.seed)
        for name, side in {**denoiser.further_sides, **request.sides}.items()
    }
    if any(PROMPTS in entry.extras for side in completed.values() for entry in side.entries):
        request.notice("this model reads no pictures: what add_image_prompt said without a style model does nothing")
    told = dict(denoiser.painting(completed, spaces[MAIN].enter(latent.samples), latent.noise_mask))
    method = get_sampler(request.sampler) if isinstance(request.sampler, str) else request.sampler
    asked = {name: side for name, side in told.items() if name in request.guider.sides}
    _say_what_does_nothing(denoiser.model_sampling, method, request, asked)
    first = None
    if noise.add:
        shape = (len(samples) // len(seeds), *samples.shape[1:])
        drawn = [initial_noise(shape, seed, noise.layout, latent.batch_index, noise.device) for seed in seeds]
        first = torch.cat(drawn)
    predict: Predict = OnPlanes(denoiser, planes) if planes.changes else denoiser.predict
    if request.make_exchange is not None:
        predict = ScheduledPredict(predict, denoiser.model_sampling, request.make_exchange)
    result = sample(
        predict,
        denoiser.model_sampling,
        positive=told.pop(POSITIVE),
        negative=told.pop(NEGATIVE, None),
        others=told,
        guider=request.guider,
        modifiers=denoiser.guidance,
        sampler=method,
        sigmas=request.sigmas,
        latent=samples,
        noise=first,
        seed=seeds,
        noise_layout=noise.layout,
        noise_device=noise.step_device,
        step_seed=noise.step_noise,
        latent_space=space,
        noise_mask=latent.noise_mask,
        make_mask_schedule=denoiser.make_mask_schedule,
        downscale=denoiser.latent.downscale,
        device=denoiser.device,
        max_items=request.max_items,
        resuming=None
        if request.tape is None
        else Resuming(request.tape, denoiser.states, denoiser.device, request.notice),
        on_step=request.on_step,
    )

    def finished(plane: Tensor) -> Latent:
        plane = plane.float().cpu()
        require_finite(plane, "the sampled latent", NAN_ADVICE)
        parts = planes.lift(plane)
        if len(spaces) > 1:
            parts = {name: spaces[name].leave(part) for name, part in parts.items()}
        return replace(latent, samples=parts.pop(MAIN), further=parts, family=request.family)

    return finished(result.latent), finished(result.denoised)


def in_format(latent: Latent, wanted: LatentFormat) -> Latent:
    """Return latents as a model reads them: a picture, (B, C, h, w), is one frame, (B, C, 1, h, w), for a model of videos.

    An empty latent, which says nothing but its size, gets the model's channels and scale.

    Raises:
        InvalidInputError: They have other axes, channels or further tensors than the model's, or there are none.
    """
    if wanted.axes == 2:
        latent = as_pictures(latent)
    elif wanted.axes == 3 and latent.samples.dim() == 4:
        latent = replace(latent, samples=latent.samples.unsqueeze(2))
    if not latent.samples.shape[0]:
        raise InvalidInputError("the batch is empty", where="latent")
    batch, channels, *edges = latent.samples.shape
    if channels != wanted.channels and not latent.samples.any():
        edges[-2:] = (max(1, edge * latent.downscale // wanted.downscale) for edge in edges[-2:])
        latent = replace(
            latent,
            samples=latent.samples.new_zeros(batch, wanted.channels, *edges),
            downscale=wanted.downscale,
        )
    for name, tensor, expected in [
        ("latent", latent.samples, wanted),
        *((name, latent.further[name], form) for name, form in wanted.further.items() if name in latent.further),
    ]:
        if tensor.dim() - 2 != expected.axes:
            raise InvalidInputError(
                f"the {name} has {tensor.dim() - 2} axes behind its channels, the model needs {expected.axes}",
                where="latent",
            )
        if tensor.shape[1] != expected.channels:
            raise InvalidInputError(
                f"the {name} has {tensor.shape[1]} channels, the model needs {expected.channels}",
                where="latent",
                advice="encode with the autoencoder of the model's family, or set channels on empty_latent",
            )
    if any(len(tensor) != len(latent.samples) for tensor in latent.further.values()):
        raise InvalidInputError("the tensors of the latent have batches of different sizes", where="latent")
    if set(latent.further) != set(wanted.further):
        has, needs = (", ".join(names) or "none" for names in (latent.further, wanted.further))
        raise InvalidInputError(f"the latent has the further tensors {has}, the model needs {needs}", where="latent")
    return latent


def as_pictures(latent: Latent) -> Latent:
    """Return latents as those of pictures, (B, C, h, w), which (B, C, 1, h, w) are, too.

    Raises:
        InvalidInputError: They are a video's.
    """
    if latent.samples.dim() == 5 and latent.samples.shape[2] == 1:
        return replace(latent, samples=latent.samples.squeeze(2))
    if latent.samples.dim() != 4:
        raise InvalidInputError(
            "the latents are a video's, and models of pictures cannot read them",
            where="latent",
            advice="cut_latent takes single frames out; run_pipeline runs models of videos whole",
        )
    return latent


def require_family(latent: Latent, family: str, what: str, axes: int = 0) -> None:
    """Refuse latents of which it is known that another family made them: they mean something else.

    Args:
        latent: The latents.
        family: Family of what reads them; empty where it is not known.
        what: What that is, for people.
        axes: Axes behind the channels of the latents that it was made for; 0 where it is not known.

    Raises:
        InvalidInputError: The families differ.
    """
    made_by = installed().get(latent.family or "")
    if axes and made_by is not None and made_by.latent.axes != axes:
        raise InvalidInputError(
            f"the latent is one of {latent.family}, and {what} was made for other latents",
            where="latent",
            advice=f"use the autoencoder of {latent.family}",
        )
    if latent.family and family and latent.family != family:
        raise InvalidInputError(
            f"the latent is one of {latent.family}, and {what} is one of {family}",
            where="latent",
            advice=f"decode it to a picture with the autoencoder of {latent.family}, and encode that with {family}'s",
        )


def _say_what_does_nothing(
    model_sampling: ModelSampling, method: Sampler, request: Request, told: Mapping[str, Conditioning]
) -> None:
    """Say which conditioning does not act in some of the steps, and where a sampler has no step to take."""
    levels: list[float] = request.sigmas[:-1].tolist()
    for name, side in told.items():
        entries = [entry for entry in side.entries if entry.strength > 0]
        silent = sum(not any(acts(model_sampling, entry, level) for entry in entries) for level in levels)
        if silent:
            request.notice(
                f"no {name} conditioning acts in {silent} of {len(levels)} steps: the model predicts nothing there"
            )
    if method.stops_early and sum(level > 0 for level in levels) == 1:
        request.notice("the sampler ends at the lowest noise level above zero, where it starts: take two steps or more")
