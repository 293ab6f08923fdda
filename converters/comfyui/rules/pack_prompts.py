"""Nodes of custom packs that do several things at once: prompts that name LoRAs, loaders with prompts, sizes with latents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..building import NOTHING, Builder, Ref, RefusedError, Source, Value
from .common import IMAGE_METHOD
from .images import scaled_edges
from .loaders import apply_lora
from .rule import AnyRule, Made, Make

_IMPACT, _RGTHREE = "ComfyUI-Impact-Pack", "rgthree-comfy"
_COMFYROLL = "ComfyUI_Comfyroll_CustomNodes"
_LORA = re.compile(r"<lora:([^:>]+)(?::(-?[\d.]+))?(?::(-?[\d.]+))?[^>]*>")
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
EDGES = re.compile(r"(\d{2,5})\s*x\s*(\d{2,5})")


def with_loras(
    builder: Builder, source: Source, text: str, model: Value, text_encoder: Value
) -> tuple[str, Value, Value]:
    """Apply the LoRAs that a text names as ``<lora:name:strength:strength of the text encoder>``, and take them out."""
    for number, found in enumerate(_LORA.finditer(text), 1):
        name = found[1] if found[1].endswith(_WEIGHTS) else f"{found[1]}.safetensors"
        try:
            strength = float(found[2] or 1)
            told = float(found[3]) if found[3] else strength
        except ValueError as error:
            raise RefusedError(f"a strength of the LoRA {found[1]} is no number") from error
        if model is None:
            source.remark(f"the LoRA {found[1]} is left out, as the node has no model")
            continue
        model, text_encoder = apply_lora(
            builder, source, model, text_encoder, name, strength, told, f"lora-{number}", ()
        )
    return _LORA.sub("", text), model, text_encoder


def _text(builder: Builder, source: Source, text: str) -> Ref:
    made = builder.add(source, "text_value", {"text": text}, suffix="text")
    return Ref(made.node, made.output, text)


def _wildcards(builder: Builder, source: Source) -> list[Value]:
    """ImpactWildcardEncode: the text that was filled in last, with its LoRAs."""
    source.used |= {"wildcard_text", "mode", "seed", "Select to add Wildcard", "Select to add LoRA"}
    source.remark("the text that was filled in last is taken; nothing is drawn anew")
    told = source.text("populated_text") or source.text("wildcard_text")
    if "__" in told or re.search(r"\{[^{}]*\|[^{}]*\}", told):
        source.remark("wildcards in it stay as they are")
    text, model, clip = with_loras(builder, source, told, source.get("model"), source.get("clip"))
    prompt = builder.add(source, "encode_prompt", {"text": text, "text_encoder": clip})
    return [model, clip, prompt, _text(builder, source, told)]


def _power_prompt(builder: Builder, source: Source) -> list[Value]:
    """Power Prompt (rgthree): a text with its LoRAs."""
    source.used |= {
        "insert_lora",
        "insert_embedding",
        "insert_saved",
        "target_width",
        "target_height",
        "values_insert_saved",
    }
    told = source.text("prompt")
    text, model, clip = with_loras(builder, source, told, source.get("opt_model"), source.get("opt_clip"))
    prompt = builder.add(source, "encode_prompt", {"text": text, "text_encoder": clip}) if clip is not None else None
    return [prompt, model, clip, _text(builder, source, text)]


def _simple_prompt(builder: Builder, source: Source) -> list[Value]:
    prompt, _, _, text = _power_prompt(builder, source)
    return [prompt, text]


def _ratio(*outputs: str) -> Make:
    """Return a function for a size that is chosen from a list such as ``3:4 portrait 896x1152``, with an empty latent."""

    def make(builder: Builder, source: Source) -> list[Value]:
        chosen = source.text("aspect_ratio", "custom")
        found = EDGES.search(chosen)
        if found is None and chosen != "custom":
            raise RefusedError(f"aspect_ratio names no size: {chosen}")
        custom = (int(source.number("width", 1024)), int(source.number("height", 1024)))
        width, height = (int(found[1]), int(found[2])) if found else custom
        if source.text("swap_dimensions", "Off") == "On":
            width, height = height, width
        factor = source.number("prescale_factor", 1.0)
        width, height = int(width * factor), int(height * factor)
        batch = int(source.number("batch_size", 1))
        told: Mapping[str, tuple[str, Any]] = {
            "width": ("int_value", width),
            "height": ("int_value", height),
            "upscale_factor": ("float_value", source.number("upscale_factor", 1.0)),
            "prescale_factor": ("float_value", factor),
            "batch_size": ("int_value", batch),
        }
        latent = builder.add(source, "empty_latent", {"width": width, "height": height, "batch_size": batch})
        values: list[Value] = []
        for output in outputs:
            native, value = told[output]
            made = builder.add(source, native, {"value": value}, suffix=output)
            values.append(Ref(made.node, made.output, builder.nodes[made.node].params.get("value", NOTHING)))
        return [*values, latent]

    return make


def _upscaled(builder: Builder, source: Source) -> list[Value]:
    """CR Upscale Image: by a model, and then to a factor or a width."""
    source.used.add("supersample")
    model = builder.add(source, "load_upscale_model", {"model": source.get("upscale_model")}, suffix="model")
    image = source.get("image")
    large = builder.add(source, "upscale_image_with_model", {"upscale_model": model, "image": image}, suffix="large")
    how = source.text("resampling_method", "lanczos")
    inputs: dict[str, Any] = {"images": large, "method": IMAGE_METHOD.get(how, how)}
    if source.text("mode", "rescale") == "rescale":
        source.used.add("resize_width")
        inputs |= scaled_edges(builder, source, image, source.get("rescale_factor", 2.0))
    else:
        source.used.add("rescale_factor")
        inputs |= {"width": source.get("resize_width", 1024), "height": 0}
    inputs["multiple_of"] = max(1, int(source.number("rounding_modulus", 8)))
    return [builder.add(source, "resize", inputs), None]


RULES: tuple[AnyRule, ...] = (
    Made("ImpactWildcardEncode", ("apply_lora", "encode_prompt", "text_value"), _wildcards, says="encode_prompt, and apply_lora for each LoRA that the text names", pack=_IMPACT),
    Made("Power Prompt (rgthree)", ("apply_lora", "encode_prompt", "text_value"), _power_prompt, says="encode_prompt, and apply_lora for each LoRA that the text names", pack=_RGTHREE),
    Made("Power Prompt - Simple (rgthree)", ("encode_prompt", "text_value"), _simple_prompt, says="encode_prompt", pack=_RGTHREE),
    *(
        Made(type, ("empty_latent", "int_value", "float_value"), _ratio("width", "height", "upscale_factor", *more, "batch_size"), says="empty_latent, and a value node for each", pack=_COMFYROLL)
        for type, more in (("CR SDXL Aspect Ratio", ()), ("CR SD1.5 Aspect Ratio", ()), ("CR Aspect Ratio", ("prescale_factor",)))
    ),
    Made("CR Upscale Image", ("load_upscale_model", "upscale_image_with_model", "image_size", "expression", "resize"), _upscaled,
         says="load_upscale_model, upscale_image_with_model and resize", pack=_COMFYROLL),
)  # fmt: skip
"""By ComfyUI type."""
