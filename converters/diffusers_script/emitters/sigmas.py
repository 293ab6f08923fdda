"""Schedules with parameters of their own, and changes of schedules."""

from __future__ import annotations

from collections.abc import Mapping

from ..handles import Levels, Scalar
from ..layout import Expression, call, quoted
from ..script import UnsupportedError
from .base import Emission, Emitter

MADE: Mapping[str, str] = {
    "karras_sigmas": "karras_levels",
    "exponential_sigmas": "exponential_levels",
    "polyexponential_sigmas": "polyexponential_levels",
    "laplace_sigmas": "laplace_levels",
    "vp_sigmas": "vp_levels",
    "beta_sigmas": "beta_sigmas",
    "turbo_sigmas": "turbo_levels",
    "flip_sigmas": "flip_levels",
    "set_first_sigma": "with_first_level",
    "extend_sigmas": "extend_levels",
}
"""The scripts' functions by node type; their parameters are the nodes'."""

ALWAYS = frozenset({"steps", "sigma"})
"""Parameters that are written even where they are as usual."""


def levels(emission: Emission) -> Levels:
    """A schedule, from nothing, a model or another schedule."""
    node, function = emission.node, MADE[emission.node.type]
    emission.begin()
    emission.script.need(function)
    positional: list[Expression] = []
    named: dict[str, Expression] = {}
    for name, standard in node.standard.items():
        if name == "model":
            positional.append(_training_levels(emission))
        elif name == "sigmas":
            positional.append(emission.inputs["sigmas"].variable)
        elif name in ALWAYS and not named:
            positional.append(emission.value(name))
        elif not emission.is_default(name, standard):
            named[name] = emission.value(name)
    return Levels(emission.assign(call(function, *positional, **named), "sigmas"))


def align_your_steps(emission: Emission) -> Levels:
    """A schedule that was found for a model family."""
    variant = emission.fixed("variant")
    if variant == "svd":
        raise UnsupportedError("its schedule for videos has no model that scripts can hold")
    emission.begin()
    emission.script.need("align_your_steps", "stable_diffusion_levels")
    options = emission.options(steps=10, strength=1.0)
    made = call("align_your_steps", "stable_diffusion_levels()", quoted(variant), **options)
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
    emission.script.need("sigma_at")
    made = call("sigma_at", _training_levels(emission), emission.value("percent"), **emission.options(actual=False))
    return Scalar(emission.assign(made, "sigma"))


def _training_levels(emission: Emission) -> str:
    emission.script.need("training_sigmas")
    return f"training_sigmas({emission.loader.any_pipe(emission.part('model').base)}.scheduler.config)"


EMITTERS: dict[str, Emitter] = {
    **dict.fromkeys(MADE, levels),
    "align_your_steps_sigmas": align_your_steps,
    "percent_to_sigma": percent_to_sigma,
    "split_sigmas_at_strength": split_at_strength,
}
