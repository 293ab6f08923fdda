"""What scripts say of models that they run by their network: noise levels and the space of latents."""

from __future__ import annotations

from dataclasses import astuple

from graphflow.modelfiles.description import Description
from graphflow.modelfiles.families import variant_named
from graphflow.modelfiles.family import LatentFormat

from .families import family_of, flow_of
from .layout import Expression, Items, call, flat, literal
from .models import Base, ModelPart
from .nets import autoencoder_functions
from .script import Script


def is_raw(part: ModelPart) -> bool:
    """Whether latents of a model or autoencoder stay as the autoencoder makes them until they are sampled."""
    if part.part == "vae" and not part.base.is_whole:
        return autoencoder_functions(part) is not None
    return flow_of(part.base) is not None


def times_of(model: ModelPart) -> tuple[str, ...]:
    """Expressions of the arguments of a model's noise levels; of a flow's its shift, their number, and the scale of its time."""
    if model.times is not None:
        return model.times
    flow = flow_of(model.base)
    assert flow is not None
    return tuple(map(repr, astuple(flow.times(described_network(model)))))


def described_network(model: ModelPart) -> Description:
    """What is known of a model's network."""
    return model.network or model.base.description


def levels_of(script: Script, model: ModelPart) -> str:
    """The variable of a model's noise levels."""
    flow = flow_of(model.base)
    assert flow is not None
    script.need(flow.levels)
    return _once(script, "levels", call(flow.levels, *times_of(model)))


def is_flow(base: Base) -> bool:
    """Whether noisy latents of a model are (1 - sigma) * clean + sigma * noise."""
    flow = flow_of(base)
    return flow is not None and flow.is_flow


def latent_of(model: ModelPart) -> LatentFormat:
    """The latents of a model."""
    variant = variant_named(described_network(model).variant)
    return (variant and variant.latent) or family_of(model.base).latent


def space_of(script: Script, model: ModelPart, *, unshifted: bool = False) -> str:
    """The variable of the map between what the autoencoder makes and what a model works on, or the same without shift."""
    latent = latent_of(model)
    known = {"scale": latent.scale, "shift": latent.mean or latent.shift, "deviation": latent.deviation or 1.0}
    if unshifted:
        known["shift"] = 0.0
    usual = {"scale": 1.0, "shift": 0.0, "deviation": 1.0}
    shown: dict[str, Expression] = {name: _number(value) for name, value in known.items() if value != usual[name]}
    script.need("LatentSpace")
    return _once(script, "space", call("LatentSpace", **shown))


def _number(value: float | tuple[float, ...]) -> Expression:
    if isinstance(value, tuple):
        return Items("(", tuple(("", repr(part)) for part in value), ")")
    return literal(value)


def _once(script: Script, name: str, made: Expression) -> str:
    key = (name, flat(made))
    if key not in script.written:
        script.written[key] = script.assign(name, made)
    return str(script.written[key])
