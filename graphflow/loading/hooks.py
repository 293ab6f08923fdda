"""What runtime hooks do to a model in use.

`attach` dispatches on the classes of the hook and of what is in use; a new kind of hook, or of network, registers its
own function, as `weight_changes` has it::

    @attach.register
    def _(hook: MyHook, loaded: MyDenoiser) -> AbstractContextManager[None]: ...

What hooks change of a family's networks is registered in the family's folder; what every denoiser has, here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, get_type_hints

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.sampling.differential import differential_schedule
from graphflow.sampling.guiders import EMPTY
from graphflow.sampling.modifiers import MODIFIERS, PerpendicularNegativeChange
from graphflow.sampling.prediction import ModelSampling
from graphflow.values.sampling_hooks import (
    ContinuousHook,
    CosineHook,
    DifferentialHook,
    FlowHook,
    GuidanceHook,
    PerpNegHook,
    PredictionHook,
)

Attach = Callable[[Any, Any], AbstractContextManager[None]]


class Attachments:
    """The functions that are registered; see the module."""

    def __init__(self) -> None:
        self._functions: dict[type, list[tuple[type, Attach]]] = {}

    def register(self, function: Attach) -> Attach:
        """Take in a function by the annotations of its parameters, `hook` and `loaded`."""
        hints = get_type_hints(function)
        loaded = hints["loaded"]
        self._functions.setdefault(hints["hook"], []).append((object if loaded is Any else loaded, function))
        return function

    def __call__(self, hook: Any, loaded: Any) -> AbstractContextManager[None]:
        """Change a model until the block ends.

        Args:
            hook: A hook of a recipe.
            loaded: What the recipe's `use` gives; nobody else sees it.

        Raises:
            InvalidInputError: The model has nothing that such a hook changes.
        """
        for wanted, function in self._functions.get(type(hook), ()):
            if isinstance(loaded, wanted):
                return function(hook, loaded)
        raise InvalidInputError(
            f"{type(hook).__name__} changes networks of another kind than this model's",
            advice="leave the node out that puts it on the model",
        )


attach = Attachments()


@attach.register
def _(hook: GuidanceHook, loaded: Any) -> AbstractContextManager[None]:
    loaded.guidance.append(MODIFIERS[hook.method](**hook.options))
    return nullcontext()


@attach.register
def _(hook: PerpNegHook, loaded: Any) -> AbstractContextManager[None]:
    loaded.further_sides[EMPTY] = hook.empty
    loaded.guidance.append(PerpendicularNegativeChange(negative_scale=hook.negative_scale))
    return nullcontext()


@attach.register
def _(hook: PredictionHook, loaded: Any) -> AbstractContextManager[None]:
    _tell_of_flow(loaded, "set_prediction")
    if hook.prediction == "lcm":
        loaded.model_sampling = ModelSampling.stable_diffusion(zero_snr=hook.zero_snr).distilled()
    else:
        loaded.model_sampling = ModelSampling.stable_diffusion(hook.prediction, zero_snr=hook.zero_snr)
    return nullcontext()


@attach.register
def _(hook: ContinuousHook, loaded: Any) -> AbstractContextManager[None]:
    _tell_of_flow(loaded, "set_continuous_sampling")
    prediction = hook.prediction
    if prediction == "edm_playground_v2.5":
        if prediction not in loaded.latent.others:
            raise InvalidInputError(
                f"models of this family have no latents of {prediction}", where="prediction", advice="set it to edm"
            )
        prediction, loaded.latent = "edm", loaded.latent.others[prediction]
    loaded.model_sampling = ModelSampling.continuous(prediction, hook.sigma_min, hook.sigma_max, time=hook.time)
    return nullcontext()


@attach.register
def _(hook: CosineHook, loaded: Any) -> AbstractContextManager[None]:
    _tell_of_flow(loaded, "set_cascade_shift")
    loaded.model_sampling = ModelSampling.cosine(hook.shift)
    return nullcontext()


@attach.register
def _(hook: FlowHook, loaded: Any) -> AbstractContextManager[None]:
    now = loaded.model_sampling
    scale = hook.timestep_scale or (now.timestep_scale if now.is_flow else 1000.0)
    loaded.model_sampling = ModelSampling.flow(hook.shift, levels=hook.levels, timestep_scale=scale)
    return nullcontext()


@attach.register
def _(hook: DifferentialHook, loaded: Any) -> AbstractContextManager[None]:
    loaded.make_mask_schedule = differential_schedule(hook.strength)
    return nullcontext()


def _tell_of_flow(loaded: Any, node: str) -> None:
    if loaded.model_sampling.is_flow:
        runtime.current().notice(
            f"{node} makes a flow model one of another kind, which is right only if it was trained so: leave it out"
            " unless the model's authors ask for it"
        )
