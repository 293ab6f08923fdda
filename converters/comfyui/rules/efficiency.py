"""Samplers of efficiency-nodes-comfyui with their second passes, and SDXL with its refiner on one link, by its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..building import Builder, Const, Fused, RefusedError, Source, Value
from .bundles import COMFYROLL, EFFICIENT, STACK, applied, carried
from .common import BATCH_NOISE, END_STEP
from .images import scaled_edges
from .rule import AnyRule, Made, Make
from .values import expression

_PASSES = "second pass"
_TUPLE = "SDXL models and prompts"
_PLACES = tuple(
    f"{model}_{name}" for model in ("base", "refiner") for name in ("model", "clip", "positive", "negative")
)
_LATENT_METHODS = {
    "nearest-exact": "nearest",
    "bilinear": "bilinear",
    "area": "area",
    "bicubic": "bicubic",
    "bislerp": "bislerp",
}
_SETTINGS = {"steps": "steps", "cfg": "guidance_scale", "sampler_name": "sampler", "scheduler": "schedule"}


def _seed(source: Source, name: str) -> Value:
    """Return a seed; -1 is a new one each time."""
    seed = source.get(name, 0)
    return Const("random") if isinstance(seed, Const) and seed.value == -1 else seed


def _passes(builder: Builder, source: Source) -> list[Value]:
    """HighRes-Fix Script: another pass on an enlarged latent."""
    if source.get("script") is not None:
        raise RefusedError("its own script has no native counterpart")
    if source.flag("use_controlnet"):
        raise RefusedError("its ControlNet reads what was sampled before, which no rule says")
    if source.text("hires_ckpt_name", "(use same)") != "(use same)":
        raise RefusedError("its second pass has a checkpoint of its own")
    kind = source.text("upscale_type", "latent")
    if kind not in ("latent", "pixel"):
        raise RefusedError(f"its upscale_type {kind} has no native counterpart")
    method = source.text("latent_upscaler", "nearest-exact")
    if kind == "latent" and method not in _LATENT_METHODS:
        raise RefusedError(f"its latent_upscaler {method} is a network that enlarges latents")
    source.used |= {"control_net_name", "strength", "preprocessor", "preprocessor_imgs", "pixel_upscaler", "seed"}
    parts = {
        "kind": kind, "method": _LATENT_METHODS.get(method, ""), "model": source.get("pixel_upscaler"), "scale": source.get("upscale_by", 1.25),
        "steps": source.get("hires_steps", 12), "strength": source.get("denoise", 0.56), "times": int(source.number("iterations", 1)),
        "seed": None if source.flag("use_same_seed", True) else _seed(source, "seed"),
    }  # fmt: skip
    return [Fused(_PASSES, parts, (source.id,))]


def _again(builder: Builder, source: Source, latent: Value, inputs: Mapping[str, Any], vae: Value) -> Value:
    """Sample again on enlarged latents, as the script says."""
    script = source.fused("script", _PASSES)
    if script is None:
        return latent
    told = script.parts
    for number in range(told["times"]):
        if told["kind"] == "latent":
            larger = {"latent": latent, "scale": told["scale"], "method": told["method"]}
            latent = builder.add(source, "upscale_latent", larger, suffix=f"larger-{number}", ids=script.ids)
        else:
            latent = _in_pixels(builder, source, latent, told, vae, number)
        seed = {} if told["seed"] is None else {"seed": told["seed"]}
        second = {**inputs, "latent": latent, "steps": told["steps"], "strength": told["strength"], **seed}
        for name in ("start_step", "end_step", "add_noise", "leftover_noise"):
            second.pop(name, None)
        latent = builder.add(source, "sample", second, suffix=f"again-{number}")
    return latent


def _in_pixels(
    builder: Builder, source: Source, latent: Value, told: Mapping[str, Any], vae: Value, number: int
) -> Value:
    if vae is None:
        raise RefusedError("its second pass works on pixels, and no autoencoder is linked")
    image = builder.add(source, "vae_decode", {"vae": vae, "latent": latent}, suffix=f"pixels-{number}")
    model = builder.add(source, "load_upscale_model", {"model": told["model"]}, suffix=f"upscaler-{number}")
    large = builder.add(
        source, "upscale_image_with_model", {"upscale_model": model, "image": image}, suffix=f"large-{number}"
    )
    edges = scaled_edges(builder, source, image, told["scale"], f"-{number}")
    inputs = {"images": large, "method": "lanczos_8bit", "multiple_of": 8, **edges}
    image = builder.add(source, "resize", inputs, suffix=f"resized-{number}")
    return builder.add(source, "encode_image", {"vae": vae, "images": image}, suffix=f"encoded-{number}")


def _sampled(advanced: bool) -> Make:
    """Return a function for KSampler (Efficient): sampling, a second pass, decoding, and everything passed on."""

    def make(builder: Builder, source: Source) -> list[Value]:
        names = {
            "model": "model",
            "positive": "positive",
            "negative": "negative",
            "latent_image": "latent",
            **_SETTINGS,
        }
        inputs: dict[str, Any] = {native: source.get(comfy) for comfy, native in names.items()} | BATCH_NOISE
        if advanced:
            inputs |= {
                "seed": _seed(source, "noise_seed"),
                "add_noise": source.flag("add_noise", True),
                "start_step": source.get("start_at_step", 0),
                "end_step": END_STEP.to_native(source.number("end_at_step", 10_000)),
                "leftover_noise": source.flag("return_with_leftover_noise"),
            }
        else:
            inputs |= {"seed": _seed(source, "seed"), "strength": source.get("denoise")}
        vae = source.get("optional_vae")
        latent = _again(builder, source, builder.add(source, "sample", inputs), inputs, vae)
        return [
            source.get("model"),
            source.get("positive"),
            source.get("negative"),
            latent,
            vae,
            _decoded(builder, source, latent, vae),
        ]

    return make


def _decoded(builder: Builder, source: Source, latent: Value, vae: Value) -> Value:
    source.used |= {"preview_method", "vae_decode"}
    return None if vae is None else builder.add(source, "vae_decode", {"vae": vae, "latent": latent}, suffix="decode")


def _refined(builder: Builder, source: Source) -> list[Value]:
    """KSampler SDXL (Eff.): the base, and from a step on the refiner."""
    told = source.part("sdxl_tuple", _TUPLE)
    parts = told.parts
    change = int(source.number("refine_at_step", -1))
    refines = change > 0 and parts.get("refiner_model") is not None
    inputs: dict[str, Any] = {native: source.get(comfy) for comfy, native in _SETTINGS.items()} | BATCH_NOISE
    inputs |= {"seed": _seed(source, "noise_seed"), "start_step": source.get("start_at_step", 0)}
    base = {name: parts.get(f"base_{name}") for name in ("model", "positive", "negative")}
    first = {**inputs, **base, "latent": source.get("latent_image")}
    if refines:
        first |= {"end_step": change, "leftover_noise": True}
    latent: Value = builder.add(source, "sample", first, suffix="base" if refines else "", ids=told.ids)
    if refines:
        refiner = {name: parts.get(f"refiner_{name}") for name in ("model", "positive", "negative")}
        latent = builder.add(
            source, "sample", {**inputs, **refiner, "latent": latent, "start_step": change, "add_noise": False}
        )
    vae = source.get("optional_vae")
    latent = _again(builder, source, latent, {**inputs, **base}, vae)
    return [source.get("sdxl_tuple"), latent, vae, _decoded(builder, source, latent, vae)]


def _loaded(builder: Builder, source: Source) -> list[Value]:
    """Eff. Loader SDXL: base and refiner with their prompts on one link, an empty latent, and the autoencoder."""
    if source.get("cnet_stack") is not None:
        raise RefusedError("its stack of ControlNets has no native counterpart here; apply it behind the loader")
    source.used |= {"token_normalization", "weight_interpretation"}
    stack = source.fused("lora_stack", STACK)
    told: dict[str, Value] = {}
    vae: Value = None
    width, height = source.get("empty_latent_width", 1024), source.get("empty_latent_height", 1024)
    for part in ("base", "refiner"):
        name = source.text(f"{part}_ckpt_name", "None")
        skip = int(source.number(f"{part}_clip_skip", -2))
        if name in ("None", ""):
            continue
        checkpoint = builder.add(source, "load_checkpoint", {"model": name}, suffix=part)
        model: Value = checkpoint
        clip: Value = builder.ref(checkpoint.node, "text_encoder")
        if part == "base":
            vae = builder.ref(checkpoint.node, "vae")
            if stack is not None:
                model, clip, *_ = applied(builder, source, model, clip, stack.parts["loras"], stack.ids)
        if skip < -1:
            clip = builder.add(source, "set_text_layer", {"text_encoder": clip, "layer": skip}, suffix=f"{part}-layer")
        told |= {f"{part}_model": model, f"{part}_clip": clip}
        for side, score in (("positive", 6.0), ("negative", 2.0)):
            prompt: dict[str, Any] = {"text": source.get(side, ""), "text_encoder": clip}
            native = "encode_prompt"
            if part == "refiner":
                native = "encode_prompt_refiner"
                prompt |= {"aesthetic_score": source.get(f"{side}_ascore", score), "width": width, "height": height}
            told[f"{part}_{side}"] = builder.add(source, native, prompt, suffix=f"{part}-{side}")
    source.used |= {"positive_ascore", "negative_ascore"}
    if source.text("vae_name", "Baked VAE") not in ("Baked VAE", "Baked-VAE"):
        vae = builder.add(source, "load_vae", {"model": source.get("vae_name")}, suffix="vae")
    size = {"width": width, "height": height, "batch_size": source.get("batch_size", 1)}
    return [Fused(_TUPLE, told, (source.id,)), builder.add(source, "empty_latent", size), vae, None]


def _evaluated(text: bool = False) -> Make:
    """Return a function for the nodes that compute a, b and c."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used.add("print_to_console")
        values = {name: value for name in ("a", "b", "c") if (value := source.get(name)) is not None}
        real, whole, _ = expression(builder, source, source.text("python_expression", "a"), values)
        return [whole, real, builder.add(source, "to_text", {"value": whole if not text else real}, suffix="text")]

    return make


def _number(text: str, *names: str, whole: bool = False) -> Make:
    """Return a function for a node that computes a number of others."""

    def make(builder: Builder, source: Source) -> list[Value]:
        values = {letter: source.get(name, 0) for letter, name in zip("abcd", names, strict=False)}
        return [expression(builder, source, text, values)[1 if whole else 0], None]

    return make


_SAMPLES = (
    "sample",
    "upscale_latent",
    "load_upscale_model",
    "upscale_image_with_model",
    "image_size",
    "expression",
    "resize",
    "encode_image",
    "vae_decode",
)
_SAYS = "sample, and vae_decode where an autoencoder is linked"

RULES: tuple[AnyRule, ...] = (
    Made("KSampler (Efficient)", _SAMPLES, _sampled(advanced=False), pack=EFFICIENT, says=_SAYS),
    Made("KSampler Adv. (Efficient)", _SAMPLES, _sampled(advanced=True), pack=EFFICIENT, says=_SAYS),
    Made("KSampler SDXL (Eff.)", _SAMPLES, _refined, pack=EFFICIENT, says="sample with the base, and with the refiner"),
    Made("Eff. Loader SDXL", ("load_checkpoint", "load_vae", "set_text_layer", "apply_lora", "encode_prompt", "encode_prompt_refiner", "empty_latent"), _loaded,
         says="a node for each thing that it loads", differs="by description: how prompts are told the size", pack=EFFICIENT),
    Made("HighRes-Fix Script", (), _passes, says="upscale_latent, or upscale_image_with_model, and a second sample", differs="by description", pack=EFFICIENT),
    Made("Pack SDXL Tuple", (), lambda builder, source: carried(_TUPLE, _PLACES, "")(builder, source)[:1], says="nothing: its values go where they are used", pack=EFFICIENT),
    Made("Unpack SDXL Tuple", (), carried(_TUPLE, _PLACES, "sdxl_tuple", first=False), says="nothing: its values go where they are used", pack=EFFICIENT),
    Made("Evaluate Integers", ("expression", "to_text"), _evaluated(), says="expression", pack=EFFICIENT),
    Made("Evaluate Floats", ("expression", "to_text"), _evaluated(text=True), says="expression", pack=EFFICIENT),
    Made("CR Integer Multiple", ("expression",), _number("a * b", "integer", "multiple", whole=True), says="expression", pack=COMFYROLL),
    Made("CR Float To Integer", ("expression",), _number("a", "_float", whole=True), says="expression", pack=COMFYROLL),
)  # fmt: skip
"""By ComfyUI type."""
