"""What scripts say of models on a flow: noise levels and the space of latents."""

from __future__ import annotations

from graphflow.modelfiles.description import Description
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


def times_of(model: ModelPart) -> tuple[str, str, str]:
    """Expressions of a flow model's shift, number of levels, and scale of its time."""
    if model.times is not None:
        return model.times
    flow = flow_of(model.base)
    assert flow is not None
    known = flow.times(described_network(model))
    return repr(known.shift), repr(known.levels), repr(known.timestep_scale)


def described_network(model: ModelPart) -> Description:
    """What is known of a model's network."""
    return model.network or model.base.description


def levels_of(script: Script, model: ModelPart) -> str:
    """The variable of a flow model's noise levels."""
    made = call("FlowLevels", *times_of(model))
    script.need("FlowLevels")
    return _once(script, "levels", made)


def space_of(script: Script, base: Base, *, unshifted: bool = False) -> str:
    """The variable of the map between what the autoencoder makes and what a flow model works on, or the same without shift."""
    latent: LatentFormat = family_of(base).latent
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
