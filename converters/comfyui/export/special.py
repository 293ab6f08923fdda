"""Native nodes whose ComfyUI counterpart is not one node with other names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphflow.document.document import NodeEntry
from graphflow.modelfiles.families import families_with_encoders, installed
from graphflow.spec.spec import NodeSpec

from .inverse import MisfitError


@dataclass
class Made:
    """ComfyUI nodes for one native node.

    Attributes:
        nodes: (suffix of the id, type, literals, links) in order; a link is a native address, or ``@SUFFIX`` for slot 0
            of a node made here.
        slots: By native output: (suffix, slot).
        notes: What is lost.
    """

    nodes: list[tuple[str, str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    slots: dict[str, tuple[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


LOADERS = {1: "CLIPLoader", 2: "DualCLIPLoader", 3: "TripleCLIPLoader", 4: "QuadrupleCLIPLoader"}
"""ComfyUI's loaders by the number of text encoders."""

TYPED_LOADERS = (1, 2)
"""Those of them that serve several families and ask which."""

Back: TypeAlias = Callable[[NodeEntry, NodeSpec], Made]


def _value(entry: NodeEntry, spec: NodeSpec, name: str) -> Any:
    if name in entry.links:
        raise MisfitError(f"{name} is linked")
    return entry.params.get(name, spec.inputs[name].default)


def _link(entry: NodeEntry, name: str) -> dict[str, str]:
    link = entry.links.get(name)
    if isinstance(link, list):
        raise MisfitError(f"{name} has several links")
    return {} if link is None else {name: link}


def _text_encoder(entry: NodeEntry, spec: NodeSpec) -> Made:
    names = [_value(entry, spec, name) for name in ("model", "model_2", "model_3")]
    names = [name for name in names if name]
    chosen = _value(entry, spec, "family")
    if len(names) == 1 and chosen == "auto":  # ComfyUI tells a lone encoder by its file, too, whatever is named
        return _load(names, "stable_diffusion")
    fitting = families_with_encoders(len(names)) if chosen == "auto" else (chosen,)
    if len(fitting) > 1:
        raise MisfitError(f"it does not say the family, and {' or '.join(fitting)} has {len(names)} text encoders")
    family = installed().get(next(iter(fitting), ""))
    known = family.comfyui_loader if family is not None else {}
    if len(names) not in known:
        raise MisfitError(f"ComfyUI has no {LOADERS[len(names)]} for the family {chosen}")
    return _load(names, known[len(names)])


def _family_text_encoder(entry: NodeEntry, spec: NodeSpec) -> Made:
    names = [_value(entry, spec, name) for name in ("model", "model_2", "model_3", "model_4")]
    names = [name for name in names if name]
    family = _value(entry, spec, "family")
    if family == "other":
        raise MisfitError("its family is not named")
    known = {family.comfyui_loader.get(len(names)) for family in installed().values()}
    if len(names) not in TYPED_LOADERS and family not in known:
        raise MisfitError(f"ComfyUI has no {len(names)} text encoders for {family}")
    return _load(names, family)


def _load(names: list[str], kind: str) -> Made:
    """ComfyUI's loader of so many text encoders; the larger ones are made for one family each and do not ask for it."""
    count = len(names)
    keys = ["clip_name"] if count == 1 else [f"clip_name{number}" for number in range(1, count + 1)]
    values: dict[str, Any] = dict(zip(keys, names, strict=True))
    if count in TYPED_LOADERS:
        values["type"] = kind
    return Made([("", LOADERS[count], values, {})], {"text_encoder": ("", 0)})


def _operation(comfy: str, names: Mapping[str, str]) -> Back:
    def back(entry: NodeEntry, spec: NodeSpec) -> Made:
        values = {there: _value(entry, spec, here) for here, there in names.items()}
        link = _link(entry, "latent")["latent"]
        nodes: list[tuple[str, str, dict[str, Any], dict[str, str]]] = [
            ("operation", comfy, values, {}),
            ("", "LatentApplyOperation", {}, {"samples": link, "operation": "@operation"}),
        ]
        return Made(nodes, {"latent": ("", 0)})

    return back


def _chain(comfy: str, first: str, second: str, native: str, output: str) -> Back:
    """Return a function that says a list of links as a chain of nodes that take two."""

    def back(entry: NodeEntry, spec: NodeSpec) -> Made:
        link = entry.links.get(native)
        addresses = [link] if isinstance(link, str) else list(link or ())
        if len(addresses) < 2:
            raise MisfitError(f"{native} needs two links there")
        nodes: list[tuple[str, str, dict[str, Any], dict[str, str]]] = []
        before = addresses[0]
        for number, address in enumerate(addresses[1:], 1):
            suffix = "" if number == len(addresses) - 1 else f"part{number}"
            nodes.append((suffix, comfy, {}, {first: before, second: address}))
            before = f"@{suffix}"
        return Made(nodes, {output: ("", 0)})

    return back


def _expression(entry: NodeEntry, spec: NodeSpec) -> Made:
    values: dict[str, Any] = {"expression": _value(entry, spec, "expression")}
    links: dict[str, str] = {}
    for name in "abcd":
        link = _link(entry, name)
        if link:
            links[f"values.{name}"] = link[name]
        elif name in entry.params:
            values[f"values.{name}"] = entry.params[name]
    return Made([("", "ComfyMathExpression", values, links)], {"value": ("", 0), "rounded": ("", 1), "truth": ("", 2)})


def _edit_prompt(entry: NodeEntry, spec: NodeSpec) -> Made:
    plus = _value(entry, spec, "template") == "qwen_edit_plus"
    link = entry.links.get("images") or []
    pictures = [link] if isinstance(link, str) else list(link)
    if len(pictures) > (3 if plus else 1):
        raise MisfitError("it has too many pictures")
    links = {f"image{number}" if plus else "image": address for number, address in enumerate(pictures, 1)}
    links |= {"clip": _link(entry, "text_encoder")["text_encoder"], **_link(entry, "vae")}
    values: dict[str, Any] = {}
    text = _link(entry, "text")
    if text:
        links["prompt"] = text["text"]
    else:
        values["prompt"] = _value(entry, spec, "text")
    kind = "TextEncodeQwenImageEditPlus" if plus else "TextEncodeQwenImageEdit"
    return Made([("", kind, values, links)], {"conditioning": ("", 0)})


def _image_prompt(entry: NodeEntry, spec: NodeSpec) -> Made:
    encoder, image = _link(entry, "image_encoder")["image_encoder"], _link(entry, "image")["image"]
    crop, style = _value(entry, spec, "crop"), _value(entry, spec, "style_model")
    strength, noise = _value(entry, spec, "strength"), _value(entry, spec, "noise_augmentation")
    nodes: list[tuple[str, str, dict[str, Any], dict[str, str]]] = [
        ("picture", "CLIPVisionEncode", {"crop": crop}, {"clip_vision": encoder, "image": image})
    ]
    links = {"conditioning": _link(entry, "conditioning")["conditioning"], "clip_vision_output": "@picture"}
    if style:
        nodes.append(("style", "StyleModelLoader", {"style_model_name": style}, {}))
        kinds = {"multiply": "multiply", "attention": "attn_bias"}
        values = {"strength": strength, "strength_type": kinds[_value(entry, spec, "strength_type")]}
        nodes.append(("", "StyleModelApply", values, {**links, "style_model": "@style"}))
    else:
        values = {"strength": strength, "noise_augmentation": noise}
        nodes.append(("", "unCLIPConditioning", values, links))
    return Made(nodes, {"conditioning": ("", 0)})


def _gligen_box(entry: NodeEntry, spec: NodeSpec) -> Made:
    values = {name: _value(entry, spec, name) for name in ("text", "width", "height", "x", "y")}
    links = {
        "conditioning_to": _link(entry, "conditioning")["conditioning"],
        "clip": _link(entry, "text_encoder")["text_encoder"],
        "gligen_textbox_model": "@gligen",
    }
    named = {"gligen_name": _value(entry, spec, "gligen")}
    nodes = [("gligen", "GLIGENLoader", named, {}), ("", "GLIGENTextBoxApply", values, links)]
    return Made(nodes, {"conditioning": ("", 0)})


def _prompt_sdxl(entry: NodeEntry, spec: NodeSpec) -> Made:
    """Say one text for both encoders twice, as ComfyUI asks for both."""
    names = {"text_g": "text", "text_l": "text", "clip": "text_encoder", "crop_w": "crop_x", "crop_h": "crop_y"}
    names |= {name: name for name in ("width", "height", "target_width", "target_height")}
    values: dict[str, Any] = {}
    links: dict[str, str] = {}
    for there, here in names.items():
        link = _link(entry, here)
        if link:
            links[there] = link[here]
        else:
            values[there] = _value(entry, spec, here)
    return Made([("", "CLIPTextEncodeSDXL", values, links)], {"conditioning": ("", 0)})


def _one_sided_control(entry: NodeEntry, spec: NodeSpec) -> Made:
    """Say a control of one side alone: the same prompt twice, of which one output is read.

    ComfyUI's node with one conditioning is not the same: it acts on the sampler's other side, too.
    """
    if "negative" in entry.links or "mask" in entry.links:
        raise MisfitError("ComfyUI's ControlNetApplyAdvanced has no mask")
    positive = _link(entry, "positive")["positive"]
    links = {"positive": positive, "negative": positive}
    for name in ("control_net", "image", "vae"):
        links |= _link(entry, name)
    values: dict[str, Any] = {}
    for name, there in (("strength", "strength"), ("start", "start_percent"), ("end", "end_percent")):
        link = _link(entry, name)
        if link:
            links[there] = link[name]
        else:
            values[there] = _value(entry, spec, name)
    return Made([("", "ControlNetApplyAdvanced", values, links)], {"positive": ("", 0)})


SPECIAL: Mapping[str, Back] = {
    "load_text_encoder": _text_encoder,
    "load_family_text_encoder": _family_text_encoder,
    "sharpen_latent": _operation(
        "LatentOperationSharpen", {"radius": "sharpen_radius", "sigma": "sigma", "strength": "alpha"}
    ),
    "tonemap_latent": _operation("LatentOperationTonemapReinhard", {"multiplier": "multiplier"}),
    "combine_conditioning": _chain(
        "ConditioningCombine", "conditioning_1", "conditioning_2", "conditioning", "conditioning"
    ),
    "batch_latents": _chain("LatentBatch", "samples1", "samples2", "latents", "latent"),
    "batch_images": _chain("ImageBatch", "image1", "image2", "images", "image"),
    "expression": _expression,
    "apply_control_net": _one_sided_control,
    "encode_prompt_sdxl": _prompt_sdxl,
    "add_image_prompt": _image_prompt,
    "add_gligen_box": _gligen_box,
    "encode_prompt_with_images": _edit_prompt,
}
"""By native type; asked where no declarative rule fits."""
