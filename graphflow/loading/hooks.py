"""What runtime hooks do to a model in use.

`attach` dispatches on the hook's class; a new kind of hook registers its own function, as `weight_changes` has it::

    @attach.register
    def _(hook: MyHook, loaded: Any) -> AbstractContextManager[None]: ...

What hooks change of a family's networks is registered in the family's folder; what every denoiser has, here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import singledispatch
from typing import Any

from graphflow.errors import InvalidInputError
from graphflow.sampling.differential import differential_schedule
from graphflow.sampling.modifiers import MODIFIERS
from graphflow.sampling.prediction import ModelSampling
from graphflow.values.sampling_hooks import ContinuousHook, DifferentialHook, FlowHook, GuidanceHook, PredictionHook


@singledispatch
def attach(hook: Any, loaded: Any) -> AbstractContextManager[None]:
    """Change a model until the block ends.

    Args:
        hook: A hook of a recipe.
        loaded: What the recipe's `use` gives; nobody else sees it.

    Raises:
        InvalidInputError: The model has nothing that such a hook changes.
    """
    raise InvalidInputError(
        f"{type(hook).__name__} changes networks of another kind than this model's",
        advice="leave the node out that puts it on the model",
    )


@attach.register
def _(hook: GuidanceHook, loaded: Any) -> AbstractContextManager[None]:
    loaded.guidance.append(MODIFIERS[hook.method](**hook.options))
    return nullcontext()


@attach.register
def _(hook: PredictionHook, loaded: Any) -> AbstractContextManager[None]:
    if hook.prediction == "lcm":
        loaded.model_sampling = ModelSampling.stable_diffusion(zero_snr=hook.zero_snr).distilled()
    else:
        loaded.model_sampling = ModelSampling.stable_diffusion(hook.prediction, zero_snr=hook.zero_snr)
    return nullcontext()


@attach.register
def _(hook: ContinuousHook, loaded: Any) -> AbstractContextManager[None]:
    loaded.model_sampling = ModelSampling.continuous(hook.prediction, hook.sigma_min, hook.sigma_max, time=hook.time)
    return nullcontext()


@attach.register
def _(hook: FlowHook, loaded: Any) -> AbstractContextManager[None]:
    now = loaded.model_sampling
    scale = hook.timestep_scale or (now.timestep_scale if now.is_flow else 1000.0)
    levels = len(now.sigmas) if now.is_flow else 1000
    loaded.model_sampling = ModelSampling.flow(hook.shift, levels=levels, timestep_scale=scale)
    return nullcontext()


@attach.register
def _(hook: DifferentialHook, loaded: Any) -> AbstractContextManager[None]:
    loaded.make_mask_schedule = differential_schedule(hook.strength)
    return nullcontext()
