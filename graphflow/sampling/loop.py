"""The denoising loop: from a latent and noise to a latent, with any sampler, schedule and model family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.values import Conditioning

from .denoiser import GuidedDenoiser, Inpaint, MaskSchedule
from .errors import SamplingError
from .evaluate import Predict
from .guidance import NEGATIVE, POSITIVE, Guider, Modifier
from .latent_space import LatentSpace
from .noise import NoiseDevice, NoiseLayout, StepSeed, initial_noise, next_seed, several, step_noise
from .prediction import ModelSampling
from .regions import Region, make_regions, match_areas
from .resuming import Resuming
from .samplers import Sampler, Step, get_sampler
from .sharing import with_shared_controls
from .variance_exploding import run_in_log_snr_form

OnStep = Callable[[int, int, Tensor, Tensor], None]
"""(steps done, steps in all, x, denoised), both latents (B, C, ...) in the model's scaled space. It may
raise to stop sampling."""

MakeMaskSchedule = Callable[[ModelSampling, Tensor], MaskSchedule]
"""(model_sampling, sigmas of the run) -> how the noise mask changes on the way."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled:
    """Result of sampling, raw autoencoder space, float32, on the device of sampling.

    Attributes:
        latent: (B, C, ...) at the last noise level of the schedule.
        denoised: (B, C, ...) the clean sample of the last evaluation.
    """

    latent: Tensor
    denoised: Tensor


def cut_sigmas(
    sigmas: Tensor, *, start_step: int = 0, end_step: int | None = None, force_full_denoise: bool = False
) -> Tensor:
    """The part of a schedule from `start_step` to `end_step`.

    Args:
        sigmas: (steps + 1,) noise levels.
        start_step: steps to leave out at the start.
        end_step: step to stop before; None or beyond the end is the end.
        force_full_denoise: where sampling stops early, let its last step go down to 0 all the same, so that
            no noise is left over.

    Returns:
        The levels of that part; fewer than two where it has no step.
    """
    if end_step is not None and end_step < len(sigmas) - 1:
        sigmas = sigmas[: end_step + 1].clone()
        if force_full_denoise and len(sigmas):
            sigmas[-1] = 0.0
    return sigmas[start_step:]


def sample(
    predict: Predict,
    model_sampling: ModelSampling,
    *,
    positive: Conditioning,
    negative: Conditioning | None,
    guider: Guider,
    sampler: str | Sampler,
    sigmas: Tensor,
    latent: Tensor,
    noise: Tensor | None,
    seed: int | Sequence[int],
    others: Mapping[str, Conditioning] | None = None,
    modifiers: Sequence[Modifier] = (),
    noise_layout: NoiseLayout = "per_sample",
    noise_device: NoiseDevice = "cpu",
    step_seed: StepSeed = "seed",
    latent_space: LatentSpace | None = None,
    noise_mask: Tensor | None = None,
    make_mask_schedule: MakeMaskSchedule | None = None,
    downscale: int = 8,
    device: torch.device | str = "cpu",
    max_items: int | None = None,
    resuming: Resuming | None = None,
    on_step: OnStep | None = None,
) -> Sampled:
    """Denoise a latent along a schedule.

    Args:
        predict: the model's network.
        model_sampling: how it is parameterised.
        positive: what the picture should follow.
        negative: what it should avoid; None has guidance compare with `positive` itself.
        guider: combines the predictions.
        sampler: a name of `names.SAMPLER_NAMES`, or a method.
        sigmas: noise levels to visit, falling; fewer than two different ones return the latent as it is.
        latent: (B, C, ...) raw autoencoder space.
        noise: (B, C, ...) standard normal; None adds none (the latent carries its own).
        seed: for the noise that stochastic samplers add; several where as many samplings of equal size run as one batch.
        others: the guider's further sides, by name.
        modifiers: what changes guidance, in order.
        noise_layout: how the items of a batch share the seed.
        noise_device: whose random stream step noise is.
        step_seed: where independent step noise starts.
        latent_space: scale and shift of the family.
        noise_mask: (M, H, W) in [0, 1], any size, too few are repeated; where it is 0 the latent is kept, 1 is made
            anew.
        make_mask_schedule: makes a mask that changes on the way; None has it stay the same.
        downscale: pixels per latent sample, for areas in pixels.
        device: where to compute.
        max_items: most items to evaluate in one batch.
        resuming: what an interrupted run has evaluated; None has it all evaluated.
        on_step: called before each step is taken; it may raise to stop.

    Raises:
        SamplingError: an unknown sampler, or shapes that do not fit.
        StaleTapeError: what was resumed is another computation's.
    """
    with torch.inference_mode():
        seeds = [seed] if isinstance(seed, int) else seed
        method = get_sampler(sampler) if isinstance(sampler, str) else sampler
        space = latent_space or LatentSpace()
        if len(sigmas) < 2:
            return Sampled(latent=latent, denoised=latent)
        if noise is not None and noise.shape != latent.shape:
            raise SamplingError(f"noise {tuple(noise.shape)} does not fit the latent {tuple(latent.shape)}")
        sigmas = sigmas.float().cpu()
        if not method.stays:
            sigmas = torch.unique_consecutive(sigmas)
            if len(sigmas) < 2:
                return Sampled(latent=latent, denoised=latent)
        original = space.enter(latent.float()).to(device)
        start = torch.zeros_like(original) if noise is None else noise.float().to(device)
        highest = float(model_sampling.sigma_max)
        from_pure_noise = float(sigmas[0]) >= highest * (1 - 1e-5)
        x = model_sampling.noise_latent(sigmas[0], start, original, max_denoise=from_pure_noise)

        given = with_shared_controls(
            {POSITIVE: positive, **({} if negative is None else {NEGATIVE: negative}), **(others or {})}
        )
        schedule = None if make_mask_schedule is None else make_mask_schedule(model_sampling, sigmas)
        inpaint = None
        if noise_mask is not None:
            kept = start
            if method.renoises_kept:
                shape = (len(latent) // len(seeds), *latent.shape[1:])
                drawn = [initial_noise(shape, next_seed(each), noise_layout) for each in seeds]
                kept = torch.cat(drawn).to(device)
            inpaint = Inpaint.make(noise_mask, original, kept, schedule)
        denoise = GuidedDenoiser(
            predict=predict,
            model_sampling=model_sampling,
            guider=guider,
            sides=_match({name: make_regions(told.entries, original, downscale) for name, told in given.items()}),
            modifiers=modifiers,
            inpaint=inpaint,
            max_items=max_items,
            resuming=resuming,
        )
        total = len(sigmas) - 1
        last = original

        def callback(step: Step) -> None:
            nonlocal last
            last = step.denoised
            if on_step is not None:
                done = step.index if step.share is None else min(int(step.share * total), total - 1)
                on_step(done, total, step.x, step.denoised)

        added = several(
            seeds,
            x,
            lambda part, each: step_noise(method.noise, part, sigmas, each, noise_layout, noise_device, step_seed),
        )
        told = denoise if method.told is None else method.told(denoise, sigmas)
        if method.log_snr_form and model_sampling.is_flow:
            x = run_in_log_snr_form(method.run, told, x, sigmas, noise=added, callback=callback)
        else:
            x = method.run(told, x, sigmas, noise=added, callback=callback)
        x = model_sampling.finish(sigmas[-1], x)
        latent, denoised = space.leave(x), space.leave(last)
    # cloned outside inference mode, so that others may work on them in place
    return Sampled(latent=latent.clone(), denoised=denoised.clone())


def _match(sides: Mapping[str, list[Region]]) -> dict[str, list[Region]]:
    """The sides, each with the areas of all others."""
    matched: dict[str, list[Region]] = {}
    for name, regions in sides.items():
        for other, theirs in sides.items():
            regions = match_areas(regions, theirs) if other != name else regions
        matched[name] = regions
    return matched
