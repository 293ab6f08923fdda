"""Schedules with parameters of their own, and changes of schedules."""

from __future__ import annotations

from graphflow.sampling.published import ALIGN_YOUR_STEPS_LEVELS

from ..families import flow_of
from ..flows import levels_of
from ..handles import Levels, Scalar
from ..layout import Expression, call, listed
from ..models import ModelPart
from ..script import UnsupportedError
from .base import Emission, Emitter

MADE = frozenset(
    [
        "karras_sigmas", "exponential_sigmas", "polyexponential_sigmas", "laplace_sigmas", "vp_sigmas", "beta_sigmas",
        "turbo_sigmas", "flux2_sigmas", "flip_sigmas", "scale_sigmas", "set_first_sigma", "extend_sigmas",
    ]
)  # fmt: skip
"""Node types whose name is that of the engine's function; its parameters are the node's."""

ALWAYS = frozenset({"steps", "sigma"})
"""Parameters that are written even where they are as usual."""

REQUIRED = frozenset({"sigma_max", "sigma_min"})
"""The same, by name."""


def levels(emission: Emission) -> Levels:
    """A schedule, from nothing, a model or another schedule."""
    node, function = emission.node, emission.node.type
    emission.begin()
    emission.script.need(function)
    positional: list[Expression] = []
    named: dict[str, Expression] = {}
    for name, standard in node.standard.items():
        if name == "model":
            positional.append(training_levels(emission, emission.part("model")))
        elif name == "sigmas":
            positional.append(emission.inputs["sigmas"].variable)
        elif name in ALWAYS and not named:
            positional.append(emission.value(name))
        elif name in REQUIRED or not emission.is_default(name, standard):
            named[name] = emission.value(name)
    return Levels(emission.assign(call(function, *positional, **named), "sigmas"))


def align_your_steps(emission: Emission) -> Levels:
    """A schedule that was found for a model family."""
    variant = emission.fixed("variant")
    if variant in ALIGN_YOUR_STEPS_LEVELS:
        raise UnsupportedError("its schedule for videos has no model that scripts can hold")
    from graphflow.sampling.align_your_steps import ALIGN_YOUR_STEPS

    emission.begin()
    emission.script.need("align_your_steps_sigmas")
    known = call("torch.tensor", listed(map(repr, ALIGN_YOUR_STEPS[variant].tolist())))
    steps, strength = emission.value("steps"), emission.value("strength")
    made: Expression = call("align_your_steps_sigmas", known, steps)
    if not emission.is_default("strength", 1.0):
        emission.script.need("last_levels")
        made = call("last_levels", made, f"round({steps} * {strength})")
    return Levels(emission.assign(made, "sigmas"))


def split_at_strength(emission: Emission) -> dict[str, Levels]:
    """Two parts of a schedule."""
    emission.begin()
    script = emission.script
    script.need("split_at_strength")
    high, low = script.name("high"), script.name("low")
    script.add(
        f"{high}, {low} = ", call("split_at_strength", emission.inputs["sigmas"].variable, emission.value("strength"))
    )
    return {"high": Levels(high), "low": Levels(low)}


def percent_to_sigma(emission: Emission) -> Scalar:
    """A noise level."""
    emission.begin()
    levels = training_levels(emission, emission.part("model"))
    found = f"{levels}.percent_to_sigma({emission.value('percent')})"
    if emission.fixed("actual") and emission.fixed("percent") in (0.0, 1.0):
        found = f"float({levels}.sigmas[{0 if emission.fixed('percent') else -1}])"
    return Scalar(emission.assign(found, "sigma"))


def training_levels(emission: Emission, model: ModelPart) -> str:
    """The expression of a model's noise levels."""
    if flow_of(model.base) is not None:
        return levels_of(emission.script, model)
    emission.script.need("Levels", "training_sigmas")
    pipe = emission.loader.any_pipe(model.base)
    return f"Levels(training_sigmas({pipe}.scheduler.config))"


EMITTERS: dict[str, Emitter] = {
    **dict.fromkeys(MADE, levels),
    "align_your_steps_sigmas": align_your_steps,
    "percent_to_sigma": percent_to_sigma,
    "split_sigmas_at_strength": split_at_strength,
}
