"""The node that samples: noise to latents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS
from graphflow.node import Seed, node
from graphflow.values import Conditioning, Latent, Model

from .choices import SamplerName, ScheduleName
from .latent_rgb import latent_to_rgb

if TYPE_CHECKING:
    from torch import Tensor

Step = Annotated[int, Field(ge=0, le=LIMITS.steps)]

_NAN_ADVICE = (
    "try --dtype float32 or bfloat16, a lower guidance_scale, or another sampler; the model file may also be damaged"
)


@node("sample", lane="device", generates=True, map=True)
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
    noise_layout: Annotated[
        Literal["per_sample", "batch"],
        Field(
            description="per_sample: an item's noise depends on seed and place alone; batch: one draw for all, as ComfyUI has it"
        ),
    ] = "per_sample",
) -> Latent:
    """Denoise latents (B, C, h, w) along a schedule; the result has the same shape.

    With a strength s below 1, ``steps`` evaluations are made on the last steps + 1 noise levels of a schedule of
    int(steps / s) steps. A noise mask on the latent keeps everything outside it.

    Raises:
        InvalidInputError: The step range is empty, or shapes do not fit.
        NonFiniteError: The model makes NaN.
    """
    from graphflow.families.finite import require_finite
    from graphflow.sampling.guidance import ClassifierFree
    from graphflow.sampling.loop import LatentSpace, cut_sigmas
    from graphflow.sampling.loop import sample as run_loop
    from graphflow.sampling.noise import initial_noise
    from graphflow.sampling.schedules import make_sigmas

    if end_step is not None and end_step <= start_step:
        raise InvalidInputError(
            f"no step lies between start_step {start_step} and end_step {end_step}", where="end_step"
        )
    current = runtime.current()

    def on_step(index: int, total: int, x: Tensor, denoised: Tensor) -> None:
        current.check_cancelled()
        require_finite(denoised, f"the latent at step {index + 1} of {total}", _NAN_ADVICE)
        preview = latent_to_rgb(denoised, model.family) if current.previews else None
        current.report(index + 1, total, preview)

    with model.use() as loaded:
        if latent.samples.shape[1] != loaded.latent_channels:
            raise InvalidInputError(
                f"the latent has {latent.samples.shape[1]} channels, the model needs {loaded.latent_channels}",
                where="latent",
                advice="encode with the autoencoder of the model's family, or set channels on empty_latent",
            )
        height, width = (edge * loaded.downscale for edge in latent.samples.shape[-2:])
        sigmas = make_sigmas(schedule, loaded.model_sampling, steps, strength, sampler)
        sigmas = cut_sigmas(sigmas, start_step=start_step, end_step=end_step, force_full_denoise=not leftover_noise)
        noise = initial_noise(latent.samples.shape, seed, noise_layout, latent.batch_index) if add_noise else None
        result = run_loop(
            loaded.predict,
            loaded.model_sampling,
            positive=loaded.complete(positive, height, width, negative=False),
            negative=None if negative is None else loaded.complete(negative, height, width, negative=True),
            guider=ClassifierFree(scale=guidance_scale),
            sampler=sampler,
            sigmas=sigmas,
            latent=latent.samples,
            noise=noise,
            seed=seed,
            noise_layout=noise_layout,
            latent_space=LatentSpace(scale=loaded.latent_scale, shift=loaded.latent_shift),
            noise_mask=latent.noise_mask,
            device=loaded.device,
            on_step=on_step,
        )
    samples = result.latent.float().cpu()
    require_finite(samples, "the sampled latent", _NAN_ADVICE)
    return replace(latent, samples=samples, family=model.family)
