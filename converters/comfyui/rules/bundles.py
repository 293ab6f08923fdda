"""Nodes that carry several values on one link (contexts, pipes, LoRA stacks), and loaders that load everything at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ..building import Builder, Fused, Lost, RefusedError, Source, Value
from .loaders import apply_lora
from .rule import AnyRule, Made, Make

_RGTHREE, _IMPACT, COMFYROLL = "rgthree-comfy", "ComfyUI-Impact-Pack", "ComfyUI_Comfyroll_CustomNodes"
EFFICIENT = "efficiency-nodes-comfyui"
_CONTEXT = ("model", "clip", "vae", "positive", "negative", "latent", "images", "seed")
_BIG = (
    *_CONTEXT, "steps", "step_refiner", "cfg", "ckpt_name", "sampler", "scheduler", "clip_width", "clip_height",
    "text_pos_g", "text_pos_l", "text_neg_g", "text_neg_l", "mask", "control_net",
)  # fmt: skip
PIPE = ("model", "clip", "vae", "positive", "negative")
"""What a pipe of the Impact Pack carries."""
STACK = "LoRA stack"
_CONTROLS = "ControlNet stack"
_WEIGHTS = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin")


def carried(kind: str, names: tuple[str, ...], base: str, *, first: bool = True) -> Make:
    """Return a function for a node that puts values on a link, over those of a link that it takes.

    Args:
        kind: What the link carries.
        names: The values, in the order of inputs and outputs.
        base: The input with the values so far; empty where there is none.
        first: Whether the link itself stands at output 0; it alone stands there where ``names`` are not given out.
    """

    def make(builder: Builder, source: Source) -> list[Value]:
        parts: dict[str, Any] = {}
        before = source.fused(base, kind) if base else None
        if before is not None:
            parts |= before.parts
        for name in names:
            source.used.add(name)
            value = source.inputs.get(name)
            if value is not None:
                parts[name] = value
        carried = Fused(kind, parts, (source.id, *(before.ids if before else ())))
        values: list[Value] = [parts.get(name) for name in names]
        return [carried, *values] if first else values

    return make


def _bundled(kind: str, names: tuple[str, ...]) -> Make:
    """Return a function for a node that only puts values on a link."""
    whole = carried(kind, names, "")
    return lambda builder, source: whole(builder, source)[:1]


def _chosen(builder: Builder, source: Source) -> list[Value]:
    """Context Switch (rgthree): the first context that is linked."""
    for name in sorted(source.inputs):
        source.used.add(name)
    for name in sorted(source.inputs):
        value = source.inputs[name]
        if isinstance(value, Fused) and value.kind == "context":
            return [value, *(value.parts.get(part) for part in _BIG)]
    raise RefusedError("none of its contexts is linked")


def _merged(builder: Builder, source: Source) -> list[Value]:
    """Context Merge (rgthree): what later contexts have wins."""
    parts: dict[str, Any] = {}
    ids: list[str] = []
    for name in sorted(source.inputs):
        carried = source.fused(name, "context")
        if carried is not None:
            parts |= carried.parts
            ids += carried.ids
    return [Fused("context", parts, (source.id, *ids)), *(parts.get(part) for part in _BIG)]


_Lora: TypeAlias = tuple[str, float, float]
"""Name, strength, strength on the text encoder."""


def _rows(source: Source, name: str, model: str, text: str, *, switch: str = "") -> Iterable[_Lora]:
    """Yield (name, strength, strength on the text encoder) of numbered rows that are on."""
    for number in range(1, 51):
        width = f"{number:02}" if "{02}" in name else str(number)
        keys = [key.replace("{02}", width).replace("{}", width) for key in (name, model, text, switch)]
        source.used |= set(keys)
        lora = source.literal(keys[0]) if keys[0] in source.inputs else None
        if not isinstance(lora, str) or lora in ("", "None") or (switch and not source.flag(keys[3], True)):
            continue
        yield lora, source.number(keys[1], 1.0), source.number(keys[2], source.number(keys[1], 1.0))


def _stacked(name: str, model: str, text: str, *, switch: str = "") -> Make:
    """Return a function for a node that lists LoRAs for another one."""

    def make(builder: Builder, source: Source) -> list[Value]:
        before = source.fused("lora_stack", STACK)
        found = list(before.parts["loras"]) if before is not None else []
        keys = (name, model, text)
        if source.text("input_mode", "advanced") == "simple":
            keys = (name, "lora_wt_{}", "lora_wt_{}")
        limit = int(source.number("lora_count", 50))
        found += list(_rows(source, *keys, switch=switch))[:limit]
        source.used |= {key for key in source.inputs if key.startswith(("lora_", "model_str_", "clip_str_"))}
        return [Fused(STACK, {"loras": found}, (source.id, *(before.ids if before else ()))), None]

    return make


def applied(
    builder: Builder,
    source: Source,
    model: Value,
    text_encoder: Value,
    loras: Iterable[_Lora],
    ids: tuple[str, ...] = (),
) -> list[Value]:
    """Apply LoRAs to a model and a text encoder, one behind the other, and return both."""
    for number, (lora, strength, text_strength) in enumerate(loras, 1):
        model, text_encoder = apply_lora(
            builder, source, model, text_encoder, lora, strength, text_strength, f"lora-{number}", ids
        )
    return [model, text_encoder]


def _apply_stack(builder: Builder, source: Source) -> list[Value]:
    stack = source.fused("lora_stack", STACK)
    loras, ids = (stack.parts["loras"], stack.ids) if stack is not None else ([], ())
    return [*applied(builder, source, source.get("model"), source.get("clip"), loras, ids), None]


def _four_loras(builder: Builder, source: Source) -> list[Value]:
    """Lora Loader Stack (rgthree)."""
    rows = _rows(source, "lora_{02}", "strength_{02}", "strength_{02}")
    return applied(builder, source, source.get("model"), source.get("clip"), rows)


def _managed(builder: Builder, source: Source) -> list[Value]:
    """Lora Loader (LoraManager): a list of LoRAs, each with its strengths."""
    rows = source.literal("loras", [])
    rows = rows.get("__value__", []) if isinstance(rows, Mapping) else rows
    source.used |= {"text", "lora_stack"}
    if source.get("lora_stack") is not None:
        raise RefusedError("its stack of LoRAs comes from a node that has no native counterpart")
    found = []
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, Mapping) and row.get("active", True) and isinstance(row.get("name"), str):
            strength = row.get("strength", 1.0)
            name = row["name"] if row["name"].endswith(_WEIGHTS) else f"{row['name']}.safetensors"
            found.append((name, strength, row.get("clipStrength", strength)))
    return [*applied(builder, source, source.get("model"), source.get("clip"), found), None, None]


def _everything(builder: Builder, source: Source) -> list[Value]:
    """Efficient Loader: checkpoint, autoencoder, LoRAs, clip skip, prompts and an empty latent."""
    loaded = builder.add(source, "load_checkpoint", {"model": source.get("ckpt_name")}, suffix="checkpoint")
    vae: Value = builder.ref(loaded.node, "vae")
    if source.text("vae_name", "Baked VAE") != "Baked VAE":
        vae = builder.add(source, "load_vae", {"model": source.get("vae_name")}, suffix="vae")
    text_encoder: Value = builder.ref(loaded.node, "text_encoder")
    skip = int(source.number("clip_skip", -1))
    if skip < -1:
        text_encoder = builder.add(
            source, "set_text_layer", {"text_encoder": text_encoder, "layer": skip}, suffix="layer"
        )
    loras: list[_Lora] = []
    if source.text("lora_name", "None") not in ("None", ""):
        loras.append(
            (
                source.text("lora_name"),
                source.number("lora_model_strength", 1.0),
                source.number("lora_clip_strength", 1.0),
            )
        )
    stack = source.fused("lora_stack", STACK)
    loras += stack.parts["loras"] if stack is not None else []
    source.used |= {"lora_model_strength", "lora_clip_strength", "token_normalization", "weight_interpretation"}
    if source.text("weight_interpretation", "comfy") != "comfy" or source.text("token_normalization", "none") != "none":
        source.remark("weights act as in ComfyUI's own node, whatever the node's two settings say")
    ids = stack.ids if stack is not None else ()
    model, text_encoder = applied(builder, source, loaded, text_encoder, loras, ids)
    prompts = [
        builder.add(source, "encode_prompt", {"text": source.get(side, ""), "text_encoder": text_encoder}, suffix=side)
        for side in ("positive", "negative")
    ]
    size = {
        "width": source.get("empty_latent_width", 512),
        "height": source.get("empty_latent_height", 512),
        "batch_size": source.get("batch_size", 1),
    }
    return [model, *prompts, builder.add(source, "empty_latent", size), vae, text_encoder, None]


def _is_there(value: Value) -> bool:
    return value is not None and not isinstance(value, Lost)


def _detailed(builder: Builder, source: Source) -> list[Value]:
    """EditBasicPipe: some of the values are replaced."""
    before = source.part("basic_pipe", "pipe")
    parts = {**before.parts, **{name: value for name in PIPE if _is_there(value := source.get(name))}}
    return [Fused("pipe", parts, (source.id, *before.ids))]


def _controls(builder: Builder, source: Source) -> list[Value]:
    """CR Multi-ControlNet Stack: ControlNets with their pictures, for another node."""
    before = source.fused("controlnet_stack", _CONTROLS)
    found = list(before.parts["controls"]) if before is not None else []
    for number in range(1, 4):
        keys = [
            f"{name}_{number}"
            for name in ("controlnet", "image", "controlnet_strength", "start_percent", "end_percent")
        ]
        source.used |= set(keys)
        name, image = source.literal(keys[0], "None"), source.get(keys[1])
        if not source.flag(f"switch_{number}") or name == "None" or image is None:
            continue
        values = {
            native: source.get(key, default)
            for native, key, default in zip(("strength", "start", "end"), keys[2:], (1.0, 0.0, 1.0), strict=True)
        }
        net = builder.add(source, "load_control_net", {"control_net": name}, suffix=f"net-{number}")
        found.append({"control_net": net, "image": image, **values})
    return [Fused(_CONTROLS, {"controls": found}, (source.id, *(before.ids if before else ()))), None]


def _control(builder: Builder, source: Source) -> list[Value]:
    """Control Net Stacker: one ControlNet with its picture, behind those so far."""
    before = source.fused("cnet_stack", _CONTROLS)
    control = {
        "control_net": source.get("control_net"),
        "image": source.get("image"),
        "strength": source.get("strength", 1.0),
        "start": source.get("start_percent", 0.0),
        "end": source.get("end_percent", 1.0),
    }
    found = [*(before.parts["controls"] if before is not None else ()), control]
    return [Fused(_CONTROLS, {"controls": found}, (source.id, *(before.ids if before else ())))]


def _controlled(positive: str, negative: str, stack: str) -> Make:
    """Return a function for a node that applies listed ControlNets to both sides."""

    def make(builder: Builder, source: Source) -> list[Value]:
        sides = [source.get(positive), source.get(negative)]
        controls = source.fused(stack, _CONTROLS)
        if controls is None or not source.flag("switch", True):
            source.used.add(stack)
            return [*sides, None]
        listed = controls.parts["controls"]
        for number, control in enumerate(listed, 1):
            inputs = {"positive": sides[0], "negative": sides[1], **control}
            suffix = "" if number == len(listed) else f"control-{number}"
            made = builder.add(source, "apply_control_net", inputs, suffix=suffix, ids=controls.ids)
            sides = [made, builder.ref(made.node, "negative")]
        return [*sides, None]

    return make


_LOADS = ("load_checkpoint", "load_vae", "set_text_layer", "apply_lora", "encode_prompt", "empty_latent")

RULES: tuple[AnyRule, ...] = (
    Made("Context (rgthree)", (), carried("context", _CONTEXT, "base_ctx"), says="nothing: its values go where they are used", pack=_RGTHREE),
    Made("Context Big (rgthree)", (), carried("context", _BIG, "base_ctx"), says="nothing: its values go where they are used", pack=_RGTHREE),
    Made("Context Switch (rgthree)", (), _chosen, says="the first context that is linked", pack=_RGTHREE),
    Made("Context Switch Big (rgthree)", (), _chosen, says="the first context that is linked", pack=_RGTHREE),
    Made("Context Merge (rgthree)", (), _merged, says="nothing: its values go where they are used", pack=_RGTHREE),
    Made("Context Merge Big (rgthree)", (), _merged, says="nothing: its values go where they are used", pack=_RGTHREE),
    Made("ToBasicPipe", (), _bundled("pipe", PIPE), says="nothing: its values go where they are used", pack=_IMPACT),
    Made("EditBasicPipe", (), _detailed, says="nothing: its values go where they are used", pack=_IMPACT),
    Made("FromBasicPipe", (), carried("pipe", PIPE, "basic_pipe", first=False), says="nothing: its values go where they are used", pack=_IMPACT),
    Made("FromBasicPipe_v2", (), carried("pipe", PIPE, "basic_pipe"), says="nothing: its values go where they are used", pack=_IMPACT),
    Made("LoRA Stacker", (), _stacked("lora_name_{}", "model_str_{}", "clip_str_{}"), says="part of the apply_lora behind it", pack=EFFICIENT),
    Made("CR LoRA Stack", (), _stacked("lora_name_{}", "model_weight_{}", "clip_weight_{}", switch="switch_{}"), says="part of the apply_lora behind it", pack=COMFYROLL),
    Made("CR Apply LoRA Stack", ("apply_lora",), _apply_stack, says="one apply_lora for each LoRA", pack=COMFYROLL),
    Made("Lora Loader Stack (rgthree)", ("apply_lora",), _four_loras, says="one apply_lora for each LoRA", pack=_RGTHREE),
    Made("Lora Loader (LoraManager)", ("apply_lora",), _managed, says="one apply_lora for each LoRA that is on", pack="ComfyUI-Lora-Manager"),
    Made("CR Multi-ControlNet Stack", ("load_control_net",), _controls, says="load_control_net, and part of the apply_control_net behind it", pack=COMFYROLL),
    Made("Control Net Stacker", (), _control, says="part of the apply_control_net behind it", pack=EFFICIENT),
    Made("CR Apply Multi-ControlNet", ("apply_control_net",), _controlled("base_positive", "base_negative", "controlnet_stack"),
         says="one apply_control_net for each ControlNet", pack=COMFYROLL),
    Made("Apply ControlNet Stack", ("apply_control_net",), _controlled("positive", "negative", "cnet_stack"),
         says="one apply_control_net for each ControlNet", pack=EFFICIENT),
    Made("Efficient Loader", _LOADS, _everything, says="a node for each thing that it loads", pack=EFFICIENT),
)  # fmt: skip
"""By ComfyUI type."""
