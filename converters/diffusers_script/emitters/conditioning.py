"""Where, when and how strongly prompts act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from graphflow.values.control_hooks import UNION_TYPES

from ..conditionings import Conditioning, Control, Entry
from ..families import steering_of
from ..graph import Given
from ..handles import EmptyLatent
from ..layout import Items, call
from ..models import ModelPart
from ..nets import how_to_load
from ..script import UnsupportedError
from .base import Emission, Emitter
from .loaders import make_base


def combine_conditioning(emission: Emission) -> Conditioning:
    """Several that act at once."""
    found = emission.inputs["conditioning"]
    parts = found if isinstance(found, tuple) else (found,)
    return Conditioning(tuple(entry for part in parts for entry in part.entries))


def set_conditioning_area(emission: Emission) -> Conditioning:
    """A rectangle."""
    area = Items("(", tuple(("", emission.value(name)) for name in ("y", "x", "height", "width")), ")")
    return _set(emission, area=area, unit=emission.fixed("unit"), strength=emission.value("strength"))


def set_conditioning_strength(emission: Emission) -> Conditioning:
    """A weight."""
    return _set(emission, strength=emission.value("strength"))


def set_conditioning_mask(emission: Emission) -> Conditioning:
    """A mask."""
    bounds = emission.fixed("bounds")
    return _set(emission, mask=emission.mask("mask"), mask_strength=emission.value("strength"), bounds=bounds)


def set_conditioning_range(emission: Emission) -> Conditioning:
    """A part of sampling."""
    return _set(emission, start=emission.value("start"), end=emission.value("end"))


def set_guidance(emission: Emission) -> Conditioning:
    """What a guidance-distilled model is told."""
    given = emission.inputs["guidance"]
    if isinstance(given, Given) and given.value is None:
        raise UnsupportedError("scripts cannot keep a distilled model from hearing its guidance")
    return _set(emission, guidance=emission.value("guidance"))


def add_reference_latent(emission: Emission) -> Conditioning:
    """An encoded picture to look at."""
    conditioning, found = emission.conditioning("conditioning"), emission.inputs["latent"]
    assert conditioning is not None
    if isinstance(found, Given):
        return conditioning
    latents = emission.latents("latent")
    if isinstance(latents, EmptyLatent):
        raise UnsupportedError("an empty latent is no reference picture")

    def look(entry: Entry) -> Entry:
        before = dict(entry.settings).get("references", ())
        return with_settings(entry, references=(*before, latents.variable))

    return _each(conditioning, look)


def add_stage_c(emission: Emission) -> Conditioning:
    """What stage C made, for stage B."""
    latents = emission.latents("latent")
    if isinstance(latents, EmptyLatent):
        raise UnsupportedError("stage B draws what stage C made, and nothing did")
    return _set(emission, stage_c=latents.variable)


def set_reference_method(emission: Emission) -> Conditioning:
    """How reference pictures are told apart."""
    return _set(emission, method=emission.fixed("method"))


def zero_out_conditioning(emission: Emission) -> Conditioning:
    """Nothing said."""
    return _edit(emission, lambda entry: ("zeroed", ()))


def concat_conditioning(emission: Emission) -> Conditioning:
    """One prompt behind the other."""
    other = _first(emission, "other")
    return _edit(emission, lambda entry: ("joined", (other,)))


def average_conditioning(emission: Emission) -> Conditioning:
    """A mix of two prompts."""
    other, strength = _first(emission, "other"), emission.value("strength")
    return _edit(emission, lambda entry: ("averaged", (other, strength)))


def load_control_net(emission: Emission) -> ModelPart:
    """A ControlNet or a T2I-Adapter."""
    base = make_base(emission, "CONTROL_NET", (), name="control_net")
    parts = base.description.parts
    if other := next((name for name in ("adapter", "style_projector") if name in parts), ""):
        return ModelPart(base, other)
    found, steering = parts.get("controlnet"), steering_of(base)
    known = ("ControlNetModel", "ControlNetUnionModel") if steering is None else steering.nets
    if found is None or found.class_name not in known:
        raise UnsupportedError("only ControlNets, union ControlNets and T2I-Adapters can be written in scripts")
    if steering is not None:
        if why := steering.refuses(base.description.name, found.config):
            raise UnsupportedError(f"this ControlNet cannot be written in scripts: {why}")
        if steering.built(found.class_name, found.config) and how_to_load(base) == "from_pretrained":
            raise UnsupportedError("scripts read this ControlNet from a single file, and there is none")
        settled = {**parts, "controlnet": replace(found, config=steering.settled(found))}
        base = replace(base, description=replace(base.description, parts=settled))
    return ModelPart(base, "control_net")


def set_union_control_type(emission: Emission) -> ModelPart:
    """What kind of picture a union ControlNet gets."""
    kind, net = emission.fixed("type"), emission.part("control_net")
    found, steering = net.base.description.parts.get("controlnet"), steering_of(net.base)
    if found is not None and steering is not None:
        kinds = steering.kinds(found.config)
        if kind not in ("auto", *kinds) and kinds:
            raise UnsupportedError(f"this union ControlNet knows no pictures of the type {kind}")
        return replace(net, mode=kinds.get(kind))
    if kind == "auto" or found is None or found.class_name != "ControlNetUnionModel":  # the others take none
        return replace(net, mode=None)
    if kind not in UNION_TYPES:
        raise UnsupportedError(f"union ControlNets of Stable Diffusion know no pictures of the type {kind}")
    return replace(net, mode=UNION_TYPES.index(kind))


def apply_control_net(emission: Emission) -> dict[str, Any]:
    """A ControlNet on prompts."""
    positive, negative = emission.conditioning("positive"), emission.conditioning("negative")
    assert positive is not None
    if emission.is_default("strength", 0.0) or emission.ends_before("start", "end"):
        emission.has_no_effect()
        return {"positive": positive, "negative": negative or Given(None)}
    control = _control(emission, emission.value("start"), emission.value("end"))
    steered = [
        _each(side, lambda entry: replace(entry, controls=(*entry.controls, control)))
        for side in (positive, negative)
        if side
    ]
    return {"positive": steered[0], "negative": steered[1] if negative else Given(None)}


def apply_control_patch(emission: Emission) -> ModelPart:
    """A ControlNet on a flow model, whatever that is told."""
    model = emission.part("model")
    if emission.is_default("strength", 0.0):
        emission.has_no_effect()
        return model
    return replace(model, controls=(*model.controls, _control(emission, "0.0", "1.0")))


def _control(emission: Emission, start: str, end: str) -> Control:
    vae = emission.inputs["vae"]  # those of UNets read pixels
    steers, image = not isinstance(emission.inputs["image"], Given), ""
    filled = "inpaint_image" if not isinstance(emission.inputs.get("inpaint_image", Given(None)), Given) else ""
    if not steers and not filled:
        raise UnsupportedError("it has no picture to steer by")
    hole = not isinstance(emission.inputs["mask"], Given)
    image = emission.pixels(filled or "image").variable
    if hole:
        emission.script.need("hide_part")
        image = emission.script.assign("hint", call("hide_part", image, emission.mask("mask")))
    if filled:
        emission.script.need("with_filling")
        steering = emission.pixels("image").variable if steers else "None"
        image = emission.script.assign("hint", call("with_filling", steering, image))
    return Control(
        net=emission.part("control_net"),
        image=image,
        strength=emission.value("strength"),
        start=start,
        end=end,
        single=steers and emission.script.graph.single(emission.node.values["image"]),
        vae=vae if isinstance(vae, ModelPart) else None,
        hole=hole or bool(filled),
    )


def _set(emission: Emission, **settings: Any) -> Conditioning:
    conditioning = emission.conditioning("conditioning")
    assert conditioning is not None

    return _each(conditioning, lambda entry: with_settings(entry, **settings))


def with_settings(entry: Entry, **settings: Any) -> Entry:
    """A prompt with further settings."""
    return replace(entry, settings=tuple({**dict(entry.settings), **settings}.items()))


def _edit(emission: Emission, make: Callable[[Entry], tuple[str, tuple[Any, ...]]]) -> Conditioning:
    conditioning = emission.conditioning("conditioning")
    assert conditioning is not None
    return _each(conditioning, lambda entry: replace(entry, edits=(*entry.edits, make(entry))))


def _each(conditioning: Conditioning, change: Callable[[Entry], Entry]) -> Conditioning:
    return Conditioning(tuple(change(entry) for entry in conditioning.entries))


def _first(emission: Emission, name: str) -> Entry:
    other = emission.conditioning(name)
    assert other is not None
    return other.entries[0]


EMITTERS: dict[str, Emitter] = {
    "combine_conditioning": combine_conditioning,
    "set_conditioning_area": set_conditioning_area,
    "set_conditioning_strength": set_conditioning_strength,
    "set_conditioning_mask": set_conditioning_mask,
    "set_conditioning_range": set_conditioning_range,
    "set_guidance": set_guidance,
    "add_reference_latent": add_reference_latent,
    "add_stage_c": add_stage_c,
    "set_reference_method": set_reference_method,
    "zero_out_conditioning": zero_out_conditioning,
    "concat_conditioning": concat_conditioning,
    "average_conditioning": average_conditioning,
    "load_control_net": load_control_net,
    "load_control_patch": load_control_net,
    "set_union_control_type": set_union_control_type,
    "apply_control_net": apply_control_net,
    "apply_control_patch": apply_control_patch,
}
