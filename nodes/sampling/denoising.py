"""What the sampling nodes share: a model in use runs the denoising loop, reports each step and stops where asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from graphflow import runtime
from graphflow.values import Conditioning, Latent, Model, Noise

from .previews import Preview, previewer
from .together import require_apart

if TYPE_CHECKING:
    from torch import Tensor

    from graphflow.sampling.guidance import Guider
    from graphflow.sampling.network import Denoiser
    from graphflow.sampling.samplers import Sampler


def run_sampling(
    model: Model,
    loaded: Denoiser,
    *,
    sides: Mapping[str, Conditioning],
    guider: Guider,
    sampler: str | Sampler,
    sigmas: Tensor,
    latent: Latent,
    noise: Noise,
    seeds: tuple[int, ...] = (),
) -> tuple[Latent, Latent]:
    """Denoise within a node; see :class:`graphflow.sampling.denoise.Request` for the arguments.

    Args:
        model: The model's recipe.
        loaded: What ``model.use()`` gave.
        sides: The conditionings by name.
        guider: Combines their predictions.
        sampler: The method.
        sigmas: (steps + 1,) noise levels.
        latent: Where to start.
        noise: Random numbers.
        seeds: Of several samplings that run as one batch.

    Returns:
        The latent at the last noise level, and the clean one of the last evaluation; shapes as given.

    Raises:
        InvalidInputError: Shapes do not fit.
        NonFiniteError: The model makes NaN.
        SinglyError: Several samplings cannot be one batch.
    """
    from graphflow.basics.finite import require_finite
    from graphflow.loading.devices import free_memory
    from graphflow.sampling.batching import fitting_items
    from graphflow.sampling.denoise import NAN_ADVICE, Request, denoise
    from graphflow.sampling.samplers import get_sampler
    from graphflow.values import ConditioningEntry

    method = get_sampler(sampler) if isinstance(sampler, str) else sampler
    if len(seeds) > 1:
        require_apart(loaded, guider, method)
    current = runtime.current()
    preview: Preview | None = previewer(model, loaded) if current.previews else None

    def on_step(index: int, total: int, x: Tensor, denoised: Tensor) -> None:
        current.check_cancelled()
        require_finite(denoised, f"the latent at step {index + 1} of {total}", NAN_ADVICE)
        current.report(index + 1, total, None if preview is None else preview(denoised))

    every = (*loaded.further_sides.values(), *sides.values())
    told = [entry for side in every for entry in side.entries if isinstance(entry, ConditioningEntry)]
    request = Request(
        denoiser=loaded,
        family=model.family,
        sides=sides,
        guider=guider,
        sampler=method,
        sigmas=sigmas,
        latent=latent,
        noise=noise,
        seeds=seeds,
        on_step=on_step,
        notice=current.notice,
        tape=current.tape,
        max_items=fitting_items(loaded.memory_told(latent.samples.shape[1:], told), free_memory(loaded.device)),
    )
    if not any(entry.weights for entry in told):
        return denoise(request)
    with current.models.exchanging(model) as make_exchange:
        return denoise(replace(request, make_exchange=make_exchange))
