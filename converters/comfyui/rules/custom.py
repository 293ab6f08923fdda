"""Further nodes of custom packs, and core nodes that are put together from several native ones."""

from __future__ import annotations

from typing import Any

from ..building import Builder, Fused, RefusedError, Source, Value
from .common import BOUNDS, IMAGE_METHOD, PREFIX
from .hooks import WEIGHTS, hooked
from .rule import AnyRule, Made, Make, Rule

_WAS = "was-node-suite-comfyui"
_KJ = "ComfyUI-KJNodes"
_PROPERTIES = (
    "set_conditioning_strength", "set_conditioning_mask", "set_conditioning_range", "combine_conditioning", *WEIGHTS,
)  # fmt: skip
_EVERY_STEP = "every step is computed: the steps that the node leaves out to save time are not left out"


def _timesteps(builder: Builder, source: Source) -> list[Value]:
    """ConditioningTimestepsRange: the range, what comes before it, and what behind."""
    start, end = source.number("start_percent", 0.0), source.number("end_percent", 1.0)
    ranges = ((start, end), (0.0, start), (end, 1.0))
    return [Fused("timesteps range", {"start": first, "end": last}, (source.id,)) for first, last in ranges]


def _with_properties(builder: Builder, source: Source, side: str, suffix: str) -> Value:
    """Give one conditioning its strength, mask and range."""
    told, strength, mask = source.get(side), source.get("strength", 1.0), source.get("mask")
    if mask is not None:
        bounds = BOUNDS.get(source.text("set_cond_area", "default"), False)
        inputs = {"conditioning": told, "mask": mask, "strength": strength, "bounds": bounds}
        told = builder.add(source, "set_conditioning_mask", inputs, suffix=f"{suffix}mask")
    else:
        source.used.add("set_cond_area")
        inputs = {"conditioning": told, "strength": strength}
        told = builder.add(source, "set_conditioning_strength", inputs, suffix=f"{suffix}strength")
    steps = source.fused("timesteps", "timesteps range")
    if steps is not None:
        inputs = {"conditioning": told, **steps.parts}
        told = builder.add(source, "set_conditioning_range", inputs, suffix=f"{suffix}range", ids=steps.ids)
    return hooked(builder, source, told, suffix)


def _default_combined(*sides: tuple[str, str]) -> Make:
    """Return a function for nodes that add a conditioning which acts where no other one does."""

    def make(builder: Builder, source: Source) -> list[Value]:
        return [
            builder.add(
                source,
                "add_default_conditioning",
                {
                    "conditioning": source.get(side),
                    "default": hooked(builder, source, source.get(default), side if number else ""),
                },
                suffix=side if number else "",
            )
            for number, (side, default) in enumerate(sides)
        ]

    return make


def _control_prompt(builder: Builder, source: Source) -> list[Value]:
    """CLIPTextEncodeControlnet: a prompt of its own for ControlNets."""
    read = {"text": source.get("text"), "text_encoder": source.get("clip")}
    prompt = builder.add(source, "encode_prompt", read, suffix="prompt")
    return [builder.add(source, "set_control_prompt", {"conditioning": source.get("conditioning"), "prompt": prompt})]


def _properties(*sides: tuple[str, str]) -> Make:
    """Return a function for nodes that set properties of a new conditioning and combine it with one that is there."""

    def make(builder: Builder, source: Source) -> list[Value]:
        results: list[Value] = []
        for number, (new, before) in enumerate(sides):
            suffix = f"{new}-" if number else ""
            told = _with_properties(builder, source, new, suffix)
            if before:
                both = {"conditioning": [source.get(before), told]}
                told = builder.add(source, "combine_conditioning", both, suffix=f"{new}-all" if number else "")
            results.append(told)
        return results

    return make


def _cfg_pp(builder: Builder, source: Source) -> list[Value]:
    if source.text("version", "regular") != "regular":
        raise RefusedError("its alternative version has no native counterpart")
    return [builder.add(source, "select_sampler", {"sampler": "euler_cfg_pp"})]


def _four_texts(builder: Builder, source: Source) -> list[Value]:
    return [
        builder.add(source, "text_value", {"text": source.get(name, "")}, suffix=suffix)
        for name, suffix in (("text", ""), ("text_b", "b"), ("text_c", "c"), ("text_d", "d"))
    ]


def _grown_and_blurred(builder: Builder, source: Source) -> list[Value]:
    """GrowMaskWithBlur for a still mask."""
    source.used |= {"incremental_expandrate", "lerp_alpha", "decay_factor"}
    if source.flag("fill_holes"):
        raise RefusedError("filling holes has no native counterpart")
    grown = {
        "mask": source.get("mask"),
        "amount": source.get("expand", 0),
        "tapered_corners": source.get("tapered_corners", True),
    }
    made: Value = builder.add(source, "grow_mask", grown, suffix="grown")
    radius = source.number("blur_radius", 0.0)
    if radius > 0:
        source.remark("the blur is a Gaussian of this deviation, cut off at three times of it")
        made = builder.add(
            source, "blur_mask", {"mask": made, "radius": max(1, round(3 * radius)), "sigma": radius}, suffix="blurred"
        )
    if source.flag("flip_input"):
        raise RefusedError("flip_input has no native counterpart")
    return [made, builder.add(source, "invert_mask", {"mask": made}, suffix="inverted")]


def _content(builder: Builder, source: Source, name: str) -> Any:
    """Return a model name; pysssss loaders wrap it with its preview: ``{"content": NAME, "image": …}``."""
    value = source.literal(name)
    return value.get("content") if isinstance(value, dict) else value


def _checkpoint(builder: Builder, source: Source) -> list[Value]:
    source.used.add("prompt")
    made = builder.add(source, "load_checkpoint", {"model": _content(builder, source, "ckpt_name")})
    return [made, builder.ref(made.node, "text_encoder"), builder.ref(made.node, "vae")]


def _lora(builder: Builder, source: Source) -> list[Value]:
    source.used.add("prompt")
    inputs = {
        "model": source.get("model"),
        "text_encoder": source.get("clip"),
        "lora": _content(builder, source, "lora_name"),
        "strength": source.get("strength_model", 1.0),
        "text_encoder_strength": source.get("strength_clip", 1.0),
    }
    made = builder.add(source, "apply_lora", inputs)
    return [made, builder.ref(made.node, "text_encoder")]


def _detailed(builder: Builder, source: Source) -> list[Value]:
    """DetailDaemonSamplerNode: the curve, and the scale of guidance where none is written."""
    names = ("start", "end", "bias", "exponent", "start_offset", "end_offset", "fade", "smooth")
    inputs = {name: source.get(name) for name in names}
    strength = source.number("cfg_scale_override", 0)
    told = {"amount": source.get("detail_amount", 0.1), "strength": strength if strength > 0 else None}
    return [builder.add(source, "detail_sampler", {"sampler": source.get("sampler"), **inputs, **told})]


def _video(builder: Builder, source: Source) -> list[Value]:
    """VHS_VideoCombine and SaveWEBM: an animated WebP here."""
    if source.get("audio") is not None:
        source.remark("the sound is left out")
    fps = source.get("frame_rate") or source.get("fps", 8.0)
    source.used |= set(source.inputs)
    source.remark("saved as an animated WebP picture")
    video = builder.add(source, "images_to_video", {"images": source.get("images"), "fps": fps}, suffix="video")
    prefix = PREFIX.to_native(source.text("filename_prefix", "ComfyUI"))
    builder.add(source, "save_video", {"video": video, "filename_prefix": prefix, "format": "webp"})
    return []


def _saved(builder: Builder, source: Source) -> list[Value]:
    """Savers of custom packs: a PNG here, whatever they say of names and metadata."""
    source.used |= set(source.inputs)
    source.remark("saved as PNG under the output folder, whatever the node says of format, name and folder")
    images = source.get("images") or source.get("image")
    builder.add(source, "save_image", {"images": images, "filename_prefix": "ComfyUI", "rounding": "truncate"})
    return [images]


def _shown_or_saved(builder: Builder, source: Source) -> list[Value]:
    """CR Image Output."""
    source.used |= {"file_format", "trigger"}
    images = source.get("images")
    if source.text("output_type", "Preview") != "Save":
        source.used.add("filename_prefix")
        builder.add(source, "preview", {"images": images, "max_edge": 2048})
        return []
    if source.text("file_format", "png") != "png":
        source.remark("saved as PNG")
    prefix = PREFIX.to_native(source.text("filename_prefix", "CR"))
    builder.add(source, "save_image", {"images": images, "filename_prefix": prefix, "rounding": "truncate"})
    return []


def _stitched(builder: Builder, source: Source) -> list[Value]:
    inputs = {
        "first": source.get("image1"),
        "second": source.get("image2"),
        "direction": source.get("direction", "right"),
        "match_size": source.get("match_image_size", True),
    }
    return [builder.add(source, "stitch_images", inputs)]


def _cached(type: str, pack: str = "") -> Made:
    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= set(source.inputs)
        return [source.get("model")]

    return Made(type, (), make, says="nothing", differs=_EVERY_STEP, pack=pack)


RULES: tuple[AnyRule, ...] = (
    Made("ConditioningTimestepsRange", (), _timesteps, says="part of set_conditioning_range"),
    Made("CLIPTextEncodeControlnet", ("encode_prompt", "set_control_prompt"), _control_prompt, says="encode_prompt and set_control_prompt"),
    Made("ConditioningSetDefaultCombine", ("add_default_conditioning", *WEIGHTS), _default_combined(("cond", "cond_DEFAULT")),
         says="`add_default_conditioning`", back=Rule("ConditioningSetDefaultCombine", "add_default_conditioning", "cond:conditioning cond_DEFAULT:default")),
    Made("PairConditioningSetDefaultCombine", ("add_default_conditioning", *WEIGHTS),
         _default_combined(("positive", "positive_DEFAULT"), ("negative", "negative_DEFAULT")), says="one add_default_conditioning for each side"),
    Made("ConditioningSetProperties", _PROPERTIES, _properties(("cond_NEW", "")), says="set_conditioning_mask or _strength, and _range"),
    Made("ConditioningSetPropertiesAndCombine", _PROPERTIES, _properties(("cond_NEW", "cond")), says="the same, and combine_conditioning"),
    Made("PairConditioningSetProperties", _PROPERTIES, _properties(("positive_NEW", ""), ("negative_NEW", "")), says="the same for each side"),
    Made("PairConditioningSetPropertiesAndCombine", _PROPERTIES, _properties(("positive_NEW", "positive"), ("negative_NEW", "negative")),
         says="the same for each side, and combine_conditioning"),
    Made("SamplerEulerCFGpp", ("select_sampler",), _cfg_pp, says="select_sampler (euler_cfg_pp)"),
    Made("DetailDaemonSamplerNode", ("detail_sampler",), _detailed, says="detail_sampler", pack="ComfyUI-Detail-Daemon"),
    Rule("MultiplySigmas", "scale_sigmas", "sigmas factor", pack="ComfyUI-Detail-Daemon", back=False),
    Made("SaveWEBM", ("images_to_video", "save_video"), _video, says="images_to_video and save_video"),
    Made("VHS_VideoCombine", ("images_to_video", "save_video"), _video, says="images_to_video and save_video", pack="ComfyUI-VideoHelperSuite"),
    _cached("EasyCache"),
    _cached("LazyCache"),
    _cached("ApplyTeaCachePatch", "ComfyUI-TeaCache"),
    _cached("TGateApplySimple", "ComfyUI-TGate"),
    Made("CR Image Output", ("save_image", "preview"), _shown_or_saved, says="save_image or preview", pack="ComfyUI_Comfyroll_CustomNodes"),
    Made("Text String", ("text_value",), _four_texts, says="one text_value for each", pack=_WAS),
    Rule("Text Find and Replace Input", "text_replace", "text find replace:replacement", pack=_WAS, back=False),
    Made("GrowMaskWithBlur", ("grow_mask", "blur_mask", "invert_mask"), _grown_and_blurred, says="grow_mask, blur_mask and invert_mask", pack=_KJ),
    Made("ImageConcanate", ("stitch_images",), _stitched, says="stitch_images", pack=_KJ),
    Rule("ImageFlip+", "flip_image", "image:images axis:direction", values={"axis": {"x": "horizontal", "y": "vertical"}}, pack="ComfyUI_essentials", back=False),
    Rule("ImageScaleFactor _O", "resize", "image:images upscale_method:method factor:scale", values={"upscale_method": IMAGE_METHOD}, fixed={"antialias": False},
         pack="ComfyUI-QualityOfLifeSuit_Omar92", ignored="MulOf46 crop", differs="edges are not rounded to a multiple of 64", back=False),
    Rule("Get resolution [Crystools]", "image_size", "image:images", "width height", pack="ComfyUI-Crystools", back=False),
    Rule("CheckpointLoaderSimpleWithNoiseSelect", "load_checkpoint", "ckpt_name:model", "model text_encoder vae", pack="ComfyUI-AnimateDiff-Evolved",
         ignored="beta_schedule use_custom_scale_factor scale_factor", differs="the file's own noise schedule is used", back=False),
    Made("CheckpointLoader|pysssss", ("load_checkpoint",), _checkpoint, says="load_checkpoint", pack="ComfyUI-Custom-Scripts"),
    Made("LoraLoader|pysssss", ("apply_lora",), _lora, says="apply_lora", pack="ComfyUI-Custom-Scripts"),
    Rule("Largest Int (JPS)", "int_math", "int_a:a int_b:b", fixed={"operation": "maximum"}, pack="ComfyUI_JPS-Nodes", back=False),
    *(
        Made(type, ("save_image",), _saved, says="save_image", pack=pack)
        for type, pack in (
            ("Save Image (LoraManager)", "ComfyUI-Lora-Manager"), ("Save_as_webp", "Save_as_webp"), ("Image Saver", "ComfyUI-Image-Saver"),
            ("Image Saver Simple", "ComfyUI-Image-Saver"), ("ETN_SendImageWebSocket", "comfyui-tooling-nodes"), ("easy imageSave", "ComfyUI-Easy-Use"),
            ("SaveImageExtended", "save-image-extended-comfyui"), ("Save Image w/Metadata", "comfy-image-saver"),
            ("SaveImageWithMetaData", "ComfyUI-SaveImageWithMetaData"), ("SDPromptSaver", "comfyui-prompt-reader-node"),
        )
    ),
)  # fmt: skip
"""By ComfyUI type."""
