"""Easy-Use's pipes, loaders, samplers, switches and pictures, by its documentation (its code is under the GPL)."""

from __future__ import annotations

import re
from typing import Any

from ..building import Builder, Const, Fused, Lost, Ref, RefusedError, Source, Value
from .bundles import STACK, applied
from .common import BATCH_NOISE, END_STEP, IMAGE_METHOD, PREFIX
from .images import sized
from .loaders import apply_lora
from .pack_prompts import EDGES
from .rule import AnyRule, Made, Make, Rule
from .values import expression, switched

_PACK = "ComfyUI-Easy-Use"
_PIPE = "pipe of Easy-Use"
_SETTINGS = {
    "steps": "steps",
    "cfg": "guidance_scale",
    "sampler_name": "sampler",
    "scheduler": "schedule",
    "denoise": "strength",
    "seed": "seed",
}
_NAMES = {
    "model": "model",
    "pos": "positive",
    "neg": "negative",
    "latent": "latent",
    "vae": "vae",
    "clip": "clip",
    "image": "image",
}
"""What a pipe carries, by the names of inputs."""
_GIVEN = ("model", "positive", "negative", "latent", "vae", "clip", "image", "seed")
"""The same by the outputs of the node that takes a pipe apart."""


def _there(value: Value) -> bool:
    return value is not None and not isinstance(value, Lost)


def _loaded(builder: Builder, source: Source) -> list[Value]:
    """The loaders: checkpoint, autoencoder, LoRAs, clip skip, prompts and an empty latent, in one pipe."""
    if source.get("optional_controlnet_stack") is not None:
        raise RefusedError("its input optional_controlnet_stack has no native counterpart")
    given = {name: source.get(f"{name}_override") for name in ("model", "clip", "vae")}
    model, clip, vae = given.values()
    if not all(map(_there, (model, clip, vae))) and source.text("ckpt_name", "None") != "None":
        loaded = builder.add(source, "load_checkpoint", {"model": source.get("ckpt_name")}, suffix="checkpoint")
        model = model if _there(model) else loaded
        clip = clip if _there(clip) else builder.ref(loaded.node, "text_encoder")
        vae = vae if _there(vae) else builder.ref(loaded.node, "vae")
    source.used.add("ckpt_name")
    if source.text("vae_name", "Baked VAE") not in ("Baked VAE", "Baked-VAE", "None") and not _there(given["vae"]):
        vae = builder.add(source, "load_vae", {"model": source.get("vae_name")}, suffix="vae")
    lora = source.text("lora_name", "None")
    if lora not in ("None", ""):
        strengths = source.number("lora_model_strength", 1.0), source.number("lora_clip_strength", 1.0)
        model, clip = apply_lora(builder, source, model, clip, lora, *strengths, "lora", ())
    stack = source.fused("optional_lora_stack", STACK)
    if stack is not None:
        model, clip = applied(builder, source, model, clip, stack.parts["loras"], stack.ids)
    source.used |= {"lora_model_strength", "lora_clip_strength", "resolution"}
    skip = int(source.number("clip_skip", -1))
    if skip < -1:
        clip = builder.add(source, "set_text_layer", {"text_encoder": clip, "layer": skip}, suffix="layer")
    prompts: dict[str, Ref] = {}
    for side in ("positive", "negative"):
        encoding = (
            source.text(f"{side}_token_normalization", "none"),
            source.text(f"{side}_weight_interpretation", "comfy"),
        )
        if encoding != ("none", "comfy") or source.flag("a1111_prompt_style"):
            source.remark("weights act as in ComfyUI's own node, whatever the node's settings say")
        told = {"text": source.get(side, ""), "text_encoder": clip}
        if side == "negative" and source.type == "easy fluxLoader":
            empty = {"conditioning": prompts["positive"]}
            prompts[side] = builder.add(source, "zero_out_conditioning", empty, suffix=side)
        else:
            prompts[side] = builder.add(source, "encode_prompt", told, suffix=side)
    chosen = EDGES.search(source.text("resolution", ""))
    size = (int(chosen[1]), int(chosen[2])) if chosen else (512, 512)
    edges = {
        "width": size[0] if chosen else source.get("empty_latent_width", 512),
        "height": size[1] if chosen else source.get("empty_latent_height", 512),
    }
    source.used |= {"empty_latent_width", "empty_latent_height"}
    latent = builder.add(source, "empty_latent", {**edges, "batch_size": source.get("batch_size", 1)})
    parts = {"model": model, "clip": clip, "vae": vae, "latent": latent, **prompts}
    return [Fused(_PIPE, parts, (source.id,)), model, vae, clip, *prompts.values(), latent]


def _pipe(source: Source) -> Fused:
    return source.part("pipe", _PIPE)


def _settings(source: Source) -> dict[str, Any]:
    return {native: source.get(name) for name, native in _SETTINGS.items() if name in source.inputs}


def _set(builder: Builder, source: Source) -> list[Value]:
    """Easy preSampling: the settings of the sampler behind it, and what it starts from."""
    pipe = _pipe(source)
    parts = dict(pipe.parts)
    image, latent = source.get("image_to_latent"), source.get("latent")
    if _there(image):
        parts["latent"] = builder.add(
            source, "encode_image", {"images": image, "vae": parts.get("vae")}, suffix="encoded"
        )
    elif _there(latent):
        parts["latent"] = latent
    settings = _settings(source)
    if "start_at_step" in source.inputs:  # easy preSamplingAdvanced
        end = source.number("end_at_step", 10000)
        settings |= {
            "start_step": source.get("start_at_step", 0), "end_step": Const(END_STEP.to_native(end)),
            "add_noise": source.flag("add_noise", True), "leftover_noise": source.flag("return_with_leftover_noise", False),
        }  # fmt: skip
    return [Fused(_PIPE, {**parts, "settings": settings}, (source.id, *pipe.ids))]


def _set_custom(builder: Builder, source: Source) -> list[Value]:
    """Easy preSamplingCustom, where its sampler and schedule are those of the plain one."""
    guider = source.text("guider", "Basic")
    if guider not in ("CFG", "Basic"):
        raise RefusedError(f"its guider {guider} has no native counterpart")
    for name in ("optional_sampler", "optional_sigmas", "optional_noise_seed"):
        if source.get(name) is not None:
            raise RefusedError(f"its input {name} has no native counterpart")
    if source.flag("flip_sigmas", False) or source.text("add_noise", "enable").lower() in ("disable", "false"):
        raise RefusedError("turned schedules, and sampling without noise, have no native counterpart here")
    source.used |= {"cfg_negative", "coeff", "sigma_max", "sigma_min", "rho", "beta_d", "beta_min", "eps_s"}
    (made,) = _set(builder, source)
    assert isinstance(made, Fused)
    settings = dict(made.parts["settings"])
    if guider == "Basic":
        settings["guidance_scale"] = Const(1.0)
    return [Fused(_PIPE, {**made.parts, "settings": settings}, made.ids)]


def _sampled(builder: Builder, source: Source) -> list[Value]:
    """Easy kSampler and its kin: sampling, decoding, and what it shows or saves."""
    pipe = _pipe(source)
    source.used |= {"link_id", "save_prefix", "tile_size", *_SETTINGS}
    settings = {**pipe.parts.get("settings", {}), **_settings(source)}
    given = {name: source.inputs.get(name) for name in ("model", "positive", "negative", "latent", "vae", "clip")}
    source.used |= set(given)
    parts = {**pipe.parts, **{name: value for name, value in given.items() if value is not None}}
    if source.inputs.get("xyPlot") is not None:
        raise RefusedError("its grid of pictures has no native counterpart")
    inputs = {name: parts.get(name) for name in ("model", "positive", "negative", "latent")}
    made = builder.add(source, "sample", {**inputs, **settings, **BATCH_NOISE}, ids=pipe.ids)
    image = builder.add(source, "vae_decode", {"vae": parts.get("vae"), "latent": made}, suffix="decode")
    _shown(builder, source, image)
    after = Fused(_PIPE, {**parts, "latent": made, "image": image}, (source.id, *pipe.ids))
    named = [parts.get(name) for name in ("model", "positive", "negative")]
    return [after, image, *named, made, parts.get("vae"), parts.get("clip"), settings.get("seed")]


def _shown(builder: Builder, source: Source, image: Value) -> None:
    """Save or show pictures, as image_output says."""
    source.used |= {"link_id", "save_prefix"}
    shown = source.text("image_output", "Preview")
    if shown.startswith("Save"):
        prefix = PREFIX.to_native(source.text("save_prefix", "ComfyUI"))
        inputs = {"images": image, "filename_prefix": prefix, "rounding": "truncate"}
        builder.add(source, "save_image", inputs, suffix="save")
    elif shown.startswith("Preview"):
        builder.add(source, "preview", {"images": image, "max_edge": 2048}, suffix="preview")


def _parts(parts: dict[str, Any], *names: str) -> list[Value]:
    return [parts.get(name) if name != "seed" else parts.get("settings", {}).get("seed") for name in names]


def _out(builder: Builder, source: Source) -> list[Value]:
    """Easy pipeOut: what is in a pipe."""
    pipe = _pipe(source)
    return [pipe, *_parts(dict(pipe.parts), *_GIVEN)]


def _in(builder: Builder, source: Source) -> list[Value]:
    """Easy pipeIn and pipeEdit: some of what is in a pipe, replaced."""
    pipe = source.fused("pipe", _PIPE)
    parts: dict[str, Any] = dict(pipe.parts) if pipe is not None else {}
    if source.get("xyPlot") is not None:
        raise RefusedError("its grid of pictures has no native counterpart")
    parts |= {name: value for given, name in _NAMES.items() if _there(value := source.get(given))}
    image = source.inputs.get("image")
    if _there(image) and parts.get("vae") is not None and not _there(source.inputs.get("latent")):
        parts["latent"] = builder.add(source, "encode_image", {"images": image, "vae": parts["vae"]}, suffix="encoded")
    skip = int(source.number("clip_skip", 0))
    if skip < -1:
        parts["clip"] = builder.add(
            source, "set_text_layer", {"text_encoder": parts.get("clip"), "layer": skip}, suffix="layer"
        )
    for side in ("positive", "negative"):
        source.used |= {f"{side}_token_normalization", f"{side}_weight_interpretation"}
        text = source.text(f"optional_{side}", source.text(side, "") if source.type == "easy pipeEditPrompt" else "")
        if text:
            told = {"text": text, "text_encoder": parts.get("clip")}
            parts[side] = builder.add(source, "encode_prompt", told, suffix=side)
            if source.text("conditioning_mode", "replace") != "replace":
                raise RefusedError("prompts that are added to those of the pipe have no native counterpart")
    source.used |= {
        "a1111_prompt_style",
        "average_strength",
        "old_cond_start",
        "old_cond_end",
        "new_cond_start",
        "new_cond_end",
    }
    made = Fused(_PIPE, parts, (source.id, *(pipe.ids if pipe is not None else ())))
    return [made, *_parts(parts, *_NAMES.values())]


def _basic(builder: Builder, source: Source) -> list[Value]:
    """Easy pipeToBasicPipe: a pipe of the Impact Pack."""
    pipe = _pipe(source)
    names = ("model", "clip", "vae", "positive", "negative")
    return [Fused("pipe", {name: pipe.parts.get(name) for name in names}, (source.id, *pipe.ids))]


def _controlled(builder: Builder, source: Source) -> list[Value]:
    """Easy controlnetLoader and its kin: a ControlNet on both sides of a pipe."""
    pipe = _pipe(source)
    if source.number("scale_soft_weights", 1.0) != 1:
        source.remark("all layers of the ControlNet act alike, whatever scale_soft_weights says")
    net = source.get("control_net")
    if not _there(net):
        net = builder.add(source, "load_control_net", {"control_net": source.get("control_net_name")}, suffix="net")
    source.used.add("control_net_name")
    kind = source.text("union_type", "auto")
    if kind not in ("auto", "None", ""):
        source.remark("which kind of picture a union ControlNet gets is not told to it")
    inputs = {
        "positive": pipe.parts.get("positive"), "negative": pipe.parts.get("negative"), "control_net": net, "image": source.get("image"),
        "strength": source.get("strength", 1.0), "start": source.get("start_percent", 0.0), "end": source.get("end_percent", 1.0),
    }  # fmt: skip
    made = builder.add(source, "apply_control_net", inputs)
    sides = {"positive": made, "negative": builder.ref(made.node, "negative")}
    return [Fused(_PIPE, {**pipe.parts, **sides}, (source.id, *pipe.ids)), *sides.values()]


def _stacked(builder: Builder, source: Source) -> list[Value]:
    """Easy loraStack: LoRAs for a loader."""
    before = source.fused("optional_lora_stack", STACK)
    found = list(before.parts["loras"]) if before is not None else []
    source.used |= {name for name in source.inputs if name.startswith("lora_")}
    if source.flag("toggle", True):
        simple = source.text("mode", "simple") == "simple"
        for number in range(1, int(source.number("num_loras", 1)) + 1):
            name = source.text(f"lora_{number}_name", "None")
            if name in ("None", ""):
                continue
            strength = source.number(f"lora_{number}_strength", 1.0)
            both = (strength, strength) if simple else tuple(
                source.number(f"lora_{number}_{part}_strength", 1.0) for part in ("model", "clip")
            )  # fmt: skip
            found.append((name, *both))
    else:
        source.used |= {"mode", "num_loras"}
    return [Fused(STACK, {"loras": found}, (source.id, *(before.ids if before is not None else ())))]


def _enlarged(builder: Builder, source: Source) -> list[Value]:
    """Easy hiresFix: enlarged by a model, brought to a size, and encoded."""
    pipe = source.fused("pipe", _PIPE)
    parts: dict[str, Any] = dict(pipe.parts) if pipe is not None else {}
    image = source.get("image") if _there(source.inputs.get("image")) else parts.get("image")
    vae = source.get("vae") if _there(source.inputs.get("vae")) else parts.get("vae")
    if image is None:
        raise RefusedError("no picture is linked")
    model = builder.add(source, "load_upscale_model", {"model": source.get("model_name")}, suffix="model")
    large: Value = builder.add(
        source, "upscale_image_with_model", {"upscale_model": model, "image": image}, suffix="large"
    )
    if source.flag("rescale_after_model", True):
        way, method = source.text("rescale", "by percentage"), source.text("rescale_method", "nearest-exact")
        inputs: dict[str, Any] = {"images": large, "method": IMAGE_METHOD.get(method, method), "antialias": False}
        if way == "by percentage":
            inputs["scale"] = source.number("percent", 50) / 100
        elif way == "to Width/Height":
            crop = "center" if source.text("crop", "disabled") == "center" else "none"
            inputs |= {"width": source.get("width", 1024), "height": source.get("height", 1024), "crop": crop}
        elif way.startswith("to longer side"):
            inputs["longest_edge"] = source.get("longer_side", 1024)
        else:
            raise RefusedError(f"its rescale {way} has no native counterpart")
        large = builder.add(source, "resize", inputs)
    source.used |= {"percent", "width", "height", "longer_side", "crop", "rescale", "rescale_method"}
    latent = (
        builder.add(source, "encode_image", {"images": large, "vae": vae}, suffix="encoded")
        if vae is not None
        else None
    )
    _shown(builder, source, large)
    return [
        Fused(_PIPE, {**parts, "image": large, "latent": latent}, (source.id, *(pipe.ids if pipe else ()))),
        large,
        latent,
    ]


def inset(builder: Builder, source: Source) -> list[Value]:
    """Image Inset Crop (rgthree) and easy imageInsetCrop: so much off each side, in pixels or percent."""
    image, shares = source.get("image"), source.text("measurement", "Pixels") == "Percentage"
    sides = {side: source.number(side, 0) for side in ("left", "right", "top", "bottom")}
    places: dict[str, Any] = {}
    for place, edge, extent, near, far in (("x", "width", "a", "left", "right"), ("y", "height", "b", "top", "bottom")):
        if shares:
            first, last = (f"int({extent} * {sides[side]:g} / 100)" for side in (near, far))
        else:
            first, last = (f"{int(sides[side])}" for side in (near, far))
        for name, text in ((place, first), (edge, f"max(1, {extent} - ({first}) - ({last}))")):
            places[name] = builder.ref(sized(source, builder, image, text, suffix=name).node, "rounded")
    return [builder.add(source, "crop_image", {"images": image, **places})]


def _smaller(builder: Builder, source: Source) -> list[Value]:
    """Easy imageScaleDown: an area of pixels for each."""
    crop = "center" if source.flag("crop", False) or source.text("crop", "") == "center" else "none"
    inputs = {"images": source.get("images"), "width": source.get("width", 512), "height": source.get("height", 512)}
    return [builder.add(source, "resize", {**inputs, "method": "area", "crop": crop})]


def _smaller_to(builder: Builder, source: Source) -> list[Value]:
    """Easy imageScaleDownToSize: the longer edge, or the shorter one, has a length."""
    image, longest = source.get("images"), source.flag("mode", True)
    which = "max" if longest else "min"
    scale = sized(source, builder, image, f"min(1, c / {which}(a, b))", suffix="scale", c=source.get("size", 512))
    return [builder.add(source, "resize", {"images": image, "scale": scale, "method": "area"})]


def _side(which: str) -> Make:
    """Return a function for the length of an edge."""

    def make(builder: Builder, source: Source) -> list[Value]:
        name = which or ("max" if source.text("side", "Longest") == "Longest" else "min")
        made = sized(source, builder, source.get("image"), f"{name}(a, b)", suffix="")
        return [builder.ref(made.node, "rounded")]

    return make


def _matched(builder: Builder, source: Source) -> list[Value]:
    """Easy imageColorMatch: the colours of another picture."""
    source.remark(f"colours are matched by mean and spread, whatever its method ({source.text('method', 'mkl')}) says")
    made = builder.add(
        source, "match_colors", {"images": source.get("image_target"), "reference": source.get("image_ref")}
    )
    if source.text("image_output", "Hide").startswith(("Save", "Preview")):
        _shown(builder, source, made)
    source.used |= {"image_output", "save_prefix"}
    return [made]


def _line(builder: Builder, source: Source) -> list[Value]:
    """Easy promptLine: some lines of a text."""
    lines = source.text("prompt").split("\n")
    if source.flag("remove_empty_lines", True):
        lines = [line for line in lines if line.strip()]
    start, most = int(source.number("start_index", 0)), int(source.number("max_rows", 1000))
    made = builder.add(source, "text_lines", {"text": "\n".join(lines[start : start + most]), "skip_empty": False})
    return [made, made]


def _prompt(builder: Builder, source: Source) -> list[Value]:
    """Easy prompt, wildcards and the like: the text, as it stands in the file."""
    source.used |= set(source.inputs)
    text = source.get("text", "")
    if isinstance(text, Const) and re.search(r"__[^_\s]+__|\{[^{}]*\|[^{}]*\}", str(text.value)):
        source.remark("wildcards in it stay as they are")
    made = builder.add(source, "text_value", {"text": text})
    literal = builder.nodes[made.node].params.get("text")
    told = made if literal is None else Ref(made.node, made.output, literal)
    return [told, told]


def _named(name: str) -> Make:
    """Return a function for a node that gives the name of a model."""

    def make(builder: Builder, source: Source) -> list[Value]:
        text = source.text(name)
        made = Ref(builder.add(source, "text_value", {"text": text}).node, "", text)
        return [made, made]

    return make


def _judged(builder: Builder, source: Source) -> list[Value]:
    """Easy compare: two values."""
    text = source.text("comparison", "a == b")
    if not re.fullmatch(r"a (==|!=|<|>|<=|>=) b", text):
        raise RefusedError(f"its comparison {text} has no native counterpart")
    return [expression(builder, source, text, {name: source.get(name, 0) for name in "ab"})[2]]


def _replaced(builder: Builder, source: Source) -> list[Value]:
    """Easy promptReplace: up to three replacements, one behind the other."""
    text = source.get("prompt", "")
    for number in (1, 2, 3):
        find, replacement = source.text(f"find{number}"), source.get(f"replace{number}", "")
        if find:
            inputs = {"text": text, "find": find, "replacement": replacement}
            text = builder.add(source, "text_replace", inputs, suffix=f"{number}")
    return [text if isinstance(text, Ref) else builder.add(source, "text_value", {"text": text})]


def _one_of_five(builder: Builder, source: Source) -> list[Value]:
    """Easy imagesSplitImage: the first five pictures of a batch."""
    images = source.get("images")
    return [
        builder.add(source, "images_from_batch", {"images": images, "start": place}, suffix=f"{place}")
        for place in range(5)
    ]


def _converted(builder: Builder, source: Source) -> list[Value]:
    kinds = {"string": "to_text", "int": "to_int", "float": "to_float"}
    kind = source.text("output_type", "string")
    if kind not in kinds:
        raise RefusedError(f"its output_type {kind} has no native counterpart")
    return [builder.add(source, kinds[kind], {"value": source.get("*") or source.get("anything")})]


def _counted(builder: Builder, source: Source) -> list[Value]:
    """Easy imageCount: how many pictures there are."""
    images, image = source.get("images"), source.get("image")
    size = builder.add(source, "image_size", {"images": images or image})
    return [builder.ref(size.node, "batch_size")]


_LOADS = (
    "load_checkpoint",
    "load_vae",
    "set_text_layer",
    "apply_lora",
    "encode_prompt",
    "zero_out_conditioning",
    "empty_latent",
)
_SAMPLES = ("sample", "vae_decode", "preview", "save_image")
_KNOWN = "nothing: its values go where they are used"
_PICTURE = ("image_size", "expression", "crop_image")

RULES: tuple[AnyRule, ...] = (
    *(Made(f"easy {name}", _LOADS, _loaded, says="a node for each thing that it loads", pack=_PACK) for name in ("fullLoader", "a1111Loader", "comfyLoader", "fluxLoader")),
    *(Made(f"easy {name}", ("encode_image",), _set, says="part of the sample behind it", pack=_PACK) for name in ("preSampling", "preSamplingAdvanced")),
    Made("easy preSamplingCustom", ("encode_image",), _set_custom, says="part of the sample behind it", pack=_PACK),
    *(
        Made(f"easy {name}", _SAMPLES, _sampled, says="sample, vae_decode, and preview or save_image", pack=_PACK)
        for name in ("kSampler", "fullkSampler", "kSamplerTiled", "kSamplerCustom")
    ),
    Made("easy pipeOut", (), _out, says=_KNOWN, pack=_PACK),
    *(Made(f"easy {name}", ("encode_image", "encode_prompt", "set_text_layer"), _in, says=_KNOWN, pack=_PACK) for name in ("pipeIn", "pipeEdit", "pipeEditPrompt")),
    Made("easy pipeToBasicPipe", (), _basic, says=_KNOWN, pack=_PACK),
    *(
        Made(f"easy {name}", ("load_control_net", "apply_control_net"), _controlled, says="load_control_net and apply_control_net", pack=_PACK)
        for name in ("controlnetLoader", "controlnetLoaderADV", "controlnetLoader++")
    ),
    Made("easy loraStack", (), _stacked, says="part of the apply_lora behind it", pack=_PACK),
    Made("easy hiresFix", ("load_upscale_model", "upscale_image_with_model", "resize", "encode_image", "preview", "save_image"), _enlarged,
         says="load_upscale_model, upscale_image_with_model, resize and encode_image", pack=_PACK),
    # pictures
    Made("easy imageInsetCrop", _PICTURE, inset, says="crop_image", pack=_PACK),
    Made("Image Inset Crop (rgthree)", _PICTURE, inset, says="crop_image", pack="rgthree-comfy"),
    Made("easy imageScaleDown", ("resize",), _smaller, says="resize", pack=_PACK),
    Rule("easy imageScaleDownBy", "resize", "images scale_by:scale", fixed={"method": "area"}, pack=_PACK, back=False),
    Made("easy imageScaleDownToSize", ("image_size", "expression", "resize"), _smaller_to, says="resize", pack=_PACK),
    Made("easy imageSizeBySide", _PICTURE[:2], _side(""), says="image_size and expression", pack=_PACK),
    Made("easy imageSizeByLongerSide", _PICTURE[:2], _side("max"), says="image_size and expression", pack=_PACK),
    Made("easy imageSizeBySmallerSide", _PICTURE[:2], _side("min"), says="image_size and expression", pack=_PACK),
    Made("easy imageColorMatch", ("match_colors", "preview", "save_image"), _matched, says="match_colors", pack=_PACK),
    Rule("easy imageToMask", "mask_from_image", "image:images channel", pack=_PACK, back=False),
    Made("easy imageCount", ("image_size",), _counted, says="image_size", pack=_PACK),
    Rule("easy imageConcat", "stitch_images", "image1:first image2:second direction match_image_size:match_size", pack=_PACK, back=False),
    Made("easy imagesSplitImage", ("images_from_batch",), _one_of_five, says="images_from_batch", pack=_PACK),
    # texts, numbers, switches
    Rule("easy promptConcat", "text_join", "prompt1:first prompt2:second separator", fixed={"skip_empty": False}, defaults={"prompt1": "", "prompt2": "", "separator": ""}, pack=_PACK, back=False),
    Made("easy promptReplace", ("text_replace", "text_value"), _replaced, says="up to three text_replace", pack=_PACK),
    Made("easy promptLine", ("text_lines",), _line, says="text_lines", pack=_PACK),
    *(Made(f"easy {name}", ("text_value",), _prompt, says="text_value", pack=_PACK) for name in ("prompt", "wildcards")),
    *(
        Made(f"easy {type}Names", ("text_value",), _named(f"{name}_name"), says="text_value", pack=_PACK)
        for type, name in (("ckpt", "ckpt"), ("lora", "lora"), ("controlnet", "controlnet"))
    ),
    Made("easy compare", ("expression",), _judged, says="expression", pack=_PACK),
    Made("easy convertAnything", ("to_text", "to_int", "to_float"), _converted, says="to_text, to_int or to_float", pack=_PACK),
    Rule("easy imageSwitch", "switch", "boolean:select image_a:on_true image_b:on_false", pack=_PACK, back=False),
    Made("easy textSwitch", ("switch_index",), switched("input", "text1", "text2", first=1), says="the chosen input", pack=_PACK),
    *(
        Made(f"easy {kind}IndexSwitch", ("switch_index",), switched("index", *(f"{name}{number}" for number in range(20))), says="the chosen input", pack=_PACK)
        for kind, name in (("anything", "value"), ("image", "image"), ("text", "text"), ("conditioning", "cond"))
    ),
)  # fmt: skip
"""By ComfyUI type."""
