"""What the sampling nodes share: a model in use runs the denoising loop, reports each step and stops where asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.values import Conditioning, Latent, Model, Noise

from .previews import Preview, previewer

if TYPE_CHECKING:
    from torch import Tensor

    from graphflow.sampling.guidance import Guider
    from graphflow.sampling.network import Denoiser
    from graphflow.sampling.prediction import ModelSampling
    from graphflow.sampling.samplers import Sampler

_NAN_ADVICE = (
    "try --dtype float32 or bfloat16, a lower guidance_scale, or another sampler; the model file may also be damaged"
)


def require_channels(loaded: Denoiser, latent: Latent) -> None:
    """Refuse latents of another family.

    Raises:
        InvalidInputError: The model needs another number of channels, they are a video's, or there are none.
    """
    require_pictures(latent)
    if not latent.samples.shape[0]:
        raise InvalidInputError("the batch is empty", where="latent")
    if latent.samples.shape[1] != loaded.latent.channels:
        raise InvalidInputError(
            f"the latent has {latent.samples.shape[1]} channels, the model needs {loaded.latent.channels}",
            where="latent",
            advice="encode with the autoencoder of the model's family, or set channels on empty_latent",
        )


def require_pictures(latent: Latent) -> None:
    """Refuse latents of videos, (B, C, t, h, w).

    Raises:
        InvalidInputError: They have an axis for time.
    """
    if latent.samples.dim() != 4:
        raise InvalidInputError(
            "the latents are a video's, and models of pictures cannot read them",
            where="latent",
            advice="no family that makes videos runs by components yet; run_pipeline runs such models whole",
        )


def require_family(latent: Latent, family: str, what: str) -> None:
    """Refuse latents of which it is known that another family made them: they mean something else.

    Args:
        latent: The latents.
        family: Family of what reads them; empty where it is not known.
        what: What that is, for people.

    Raises:
        InvalidInputError: The families differ.
    """
    if latent.family and family and latent.family != family:
        raise InvalidInputError(
            f"the latent is one of {latent.family}, and {what} is one of {family}",
            where="latent",
            advice=f"decode it to a picture with the autoencoder of {latent.family}, and encode that with {family}'s",
        )


def denoise(
    model: Model,
    loaded: Denoiser,
    *,
    sides: Mapping[str, Conditioning],
    guider: Guider,
    sampler: str | Sampler,
    sigmas: Tensor,
    latent: Latent,
    noise: Noise,
) -> tuple[Latent, Latent]:
    """Run the loop.

    Args:
        model: The model's recipe.
        loaded: What ``model.use()`` gave.
        sides: The conditionings by name; ``positive`` must be there.
        guider: Combines their predictions.
        sampler: The method.
        sigmas: (steps + 1,) noise levels.
        latent: Where to start.
        noise: Random numbers.

    Returns:
        The latent at the last noise level, and the clean one of the last evaluation; shapes as given.

    Raises:
        InvalidInputError: Shapes do not fit.
        NonFiniteError: The model makes NaN.
    """
    from graphflow.basics.finite import require_finite
    from graphflow.loading.devices import free_memory
    from graphflow.sampling.batching import fitting_items
    from graphflow.sampling.guidance import NEGATIVE, POSITIVE
    from graphflow.sampling.loop import LatentSpace
    from graphflow.sampling.loop import sample as run_loop
    from graphflow.sampling.noise import initial_noise
    from graphflow.sampling.samplers import get_sampler

    current = runtime.current()
    preview: Preview | None = previewer(model, loaded) if current.previews else None

    def on_step(index: int, total: int, x: Tensor, denoised: Tensor) -> None:
        current.check_cancelled()
        require_finite(denoised, f"the latent at step {index + 1} of {total}", _NAN_ADVICE)
        current.report(index + 1, total, None if preview is None else preview(denoised))

    require_channels(loaded, latent)
    require_family(latent, model.family, "the model")
    height, width = (edge * loaded.latent.downscale for edge in latent.samples.shape[-2:])
    space = LatentSpace.of(loaded.latent)
    told = {
        name: loaded.painting(
            loaded.complete(side, height, width, negative=name == NEGATIVE),
            space.enter(latent.samples),
            latent.noise_mask,
        )
        for name, side in sides.items()
    }
    method = get_sampler(sampler) if isinstance(sampler, str) else sampler
    asked = {name: side for name, side in told.items() if name in guider.sides}
    _say_what_does_nothing(loaded.model_sampling, method, sigmas, asked)
    first = None
    if noise.add:
        first = initial_noise(latent.samples.shape, noise.seed, noise.layout, latent.batch_index, noise.device)
    result = run_loop(
        loaded.predict,
        loaded.model_sampling,
        positive=told.pop(POSITIVE),
        negative=told.pop(NEGATIVE, None),
        others=told,
        guider=guider,
        modifiers=loaded.guidance,
        sampler=method,
        sigmas=sigmas,
        latent=latent.samples,
        noise=first,
        seed=noise.seed,
        noise_layout=noise.layout,
        noise_device=noise.step_device,
        latent_space=space,
        noise_mask=latent.noise_mask,
        make_mask_schedule=loaded.make_mask_schedule,
        downscale=loaded.latent.downscale,
        device=loaded.device,
        max_items=fitting_items(loaded.memory(latent.samples.shape[1:]), free_memory(loaded.device)),
        on_step=on_step,
    )

    def finished(samples: Tensor) -> Latent:
        samples = samples.float().cpu()
        require_finite(samples, "the sampled latent", _NAN_ADVICE)
        return replace(latent, samples=samples, family=model.family)

    return finished(result.latent), finished(result.denoised)


def _say_what_does_nothing(
    model_sampling: ModelSampling, method: Sampler, sigmas: Tensor, told: Mapping[str, Conditioning]
) -> None:
    """Say which conditioning does not act in some of the steps, and where a sampler has no step to take."""
    from graphflow.sampling.evaluate import acts

    levels: list[float] = sigmas[:-1].tolist()
    notice = runtime.current().notice
    for name, side in told.items():
        entries = [entry for entry in side.entries if entry.strength > 0]
        silent = sum(not any(acts(model_sampling, entry, level) for entry in entries) for level in levels)
        if silent:
            notice(f"no {name} conditioning acts in {silent} of {len(levels)} steps: the model predicts nothing there")
    if method.stops_early and sum(level > 0 for level in levels) == 1:
        notice("the sampler ends at the lowest noise level above zero, where it starts: take two steps or more")
