"""Pictures that a model takes after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..conditionings import Conditioning, Entry
from ..families import flow_of
from ..graph import Given
from ..layout import quoted
from ..models import Hook, ModelPart, PicturePrompt
from ..nets import described
from ..script import UnsupportedError
from .base import Emission, Emitter
from .loaders import constant_path, make_base


def load_ip_adapter(emission: Emission) -> str:
    """An IP-Adapter, loaded with the pipeline; the handle is its path."""
    if "ip_adapter" not in emission.described("ip_adapter").parts:
        raise UnsupportedError("adapters that read the face recogniser of InsightFace cannot be written in scripts")
    emission.script.fixed(emission.inputs["ip_adapter"], "pipelines load it by folder and name")
    return constant_path(emission, "ip_adapter", "IP_ADAPTER", kind="Path")


def load_image_encoder(emission: Emission) -> ModelPart:
    """A CLIP image encoder."""
    return ModelPart(make_base(emission, "IMAGE_ENCODER", (), name="image_encoder"), "image_encoder")


def apply_ip_adapter(emission: Emission) -> ModelPart:
    """An IP-Adapter with its pictures."""
    model, path = emission.part("model"), emission.inputs["ip_adapter"]
    if emission.is_default("strength", 0.0) or emission.ends_before("start", "end"):
        emission.has_no_effect()
        return model
    assert isinstance(path, str), path
    if not isinstance(emission.inputs["negative_image"], Given):
        raise UnsupportedError("a picture that the result should not take after cannot be written in scripts")
    encoder, image = emission.part("image_encoder"), emission.pixels("image").variable
    if any(other.encoder.base.key != encoder.base.key for other in model.pictures):
        raise UnsupportedError("IP-Adapters with different image encoders cannot be in one pipeline")
    prompt = PicturePrompt(
        path=path,
        encoder=encoder,
        image=image,
        size=str(encoder.base.description.parts["image_encoder"].config.get("image_size", 224)),
        strength=_scale(emission, model),
        start=emission.value("start"),
        end=emission.value("end"),
        mask="" if isinstance(emission.inputs["mask"], Given) else _mask(emission, image),
    )
    return replace(model, pictures=(*model.pictures, prompt))


def add_image_prompt(emission: Emission) -> Conditioning:
    """What a style model shows of a picture, behind the text."""
    conditioning, strength = emission.conditioning("conditioning"), "strength"
    assert conditioning is not None
    if not emission.fixed("style_model"):
        raise UnsupportedError("scripts carry no function for pictures that models read without a style model")
    base = make_base(emission, "STYLE_MODEL", (), name="style_model")
    style = base.description.parts["style_model"]
    if style.class_name != "ReduxImageEncoder":
        raise UnsupportedError("only style models of FLUX.1 can be written in scripts")
    encoder = emission.part("image_encoder")
    width, reads = (described(encoder).config.get("hidden_size"), style.config.get("redux_dim"))
    if width != reads:
        raise UnsupportedError(f"the style model reads vectors of width {reads}, the image encoder makes {width}")
    by_attention = emission.fixed("strength_type") == "attention"
    if by_attention and emission.fixed(strength) <= 0:
        if emission.fixed(strength) < 0:
            raise UnsupportedError("the strength of attention cannot be negative")
        emission.has_no_effect()
        return conditioning
    image, crop = emission.pixels("image").variable, quoted(emission.fixed("crop"))
    _ = emission.inputs["noise_augmentation"]
    seen = (encoder, ModelPart(base, "style_model"), image, crop)
    factor = emission.value(strength)
    edit: tuple[str, tuple[Any, ...]] = ("show_style", (*seen, factor))
    if by_attention:
        edit = ("show_style_by_attention", (factor, *seen))

    def shown(entry: Entry) -> Entry:
        told = {**dict(entry.settings), **({"biased": "True"} if by_attention else {})}
        return replace(entry, edits=(*entry.edits, edit), settings=tuple(told.items()))

    return Conditioning(tuple(map(shown, conditioning.entries)))


def apply_style_patch(emission: Emission) -> ModelPart:
    """The style of a picture, which a transformer reads behind the text."""
    model, projector, encoder = (emission.part(name) for name in ("model", "control_net", "image_encoder"))
    flow = flow_of(model.base)
    if projector.part != "style_projector" or flow is None or not flow.styles:
        raise UnsupportedError("it is no patch for the styles of a picture, or not for models of this family")
    taken = {
        "encoder": emission.loader.component(encoder),
        "projector": emission.loader.component(projector),
        "image": emission.pixels("image").variable,
        "crop": quoted(emission.fixed("crop")),
    }
    return replace(model, hooks=(*model.hooks, Hook(flow.styles, tuple(taken.items()), "references")))


def _scale(emission: Emission, model: ModelPart) -> str:
    """The strength: one number, or those of the layers that make style and layout in SDXL."""
    strength = emission.value("strength")
    part = emission.script.fixed(emission.inputs["part"], "each part has its layers")
    if part == "all":
        return strength
    unet = model.base.description.parts.get("unet")
    config = unet.config if unet is not None else {}
    count, blocks = config.get("layers_per_block"), config.get("down_block_types")
    if not isinstance(count, int) or not isinstance(blocks, list) or not str(blocks[-1]).startswith("CrossAttn"):
        raise UnsupportedError("style and layout act in the layers of SDXL alone")
    after = ", 0.0" * (count - 1)
    layers = {
        "style": f'"up": {{"block_0": [0.0, {strength}{after}]}}',
        "layout": f'"down": {{"block_{len(blocks) - 1}": [0.0, {strength}{after[5:]}]}}',
    }
    found = ", ".join(text for name, text in layers.items() if name in part)
    return f"{{{found}}}"


def _mask(emission: Emission, image: str) -> str:
    """Masks (1, B, H, W), one for each picture."""
    mask, values = emission.mask("mask"), emission.node.values
    graph = emission.script.graph
    if graph.single(values["mask"]) and graph.single(values["image"]):
        return f"{mask}[None]"
    return f"{mask}.expand(len({image}), -1, -1)[None]"


EMITTERS: dict[str, Emitter] = {
    "load_ip_adapter": load_ip_adapter,
    "load_image_encoder": load_image_encoder,
    "apply_ip_adapter": apply_ip_adapter,
    "add_image_prompt": add_image_prompt,
    "apply_style_patch": apply_style_patch,
}
