"""Nodes of families that have no components here yet: their graphs import whole, of nodes that say what they wait for."""

from __future__ import annotations

from ..building import Builder, Fused, RefusedError, Source, Value
from .rule import AnyRule, Made, Rule


def _edit_prompt(template: str, *pictures: str) -> Made:
    """Return the rule of a text encoder that also reads pictures."""
    comfy = {"qwen_edit": "TextEncodeQwenImageEdit", "qwen_edit_plus": "TextEncodeQwenImageEditPlus"}[template]

    def make(builder: Builder, source: Source) -> list[Value]:
        linked = [value for name in pictures if (value := source.get(name)) is not None]
        inputs = {
            "text_encoder": source.get("clip"),
            "text": source.get("prompt", ""),
            "images": linked or None,
            "vae": source.get("vae"),
            "template": template,
        }
        return [builder.add(source, "encode_prompt_with_images", inputs)]

    return Made(comfy, ("encode_prompt_with_images",), make, says="encode_prompt_with_images")


def _prefix_cache(builder: Builder, source: Source) -> list[Value]:
    """QwenImage21Cache."""
    if source.text("dtype", "default") != "default":
        source.remark("what is cached is kept exactly")
    model = source.get("model")
    return [
        model if source.text("device", "auto") == "off" else builder.add(source, "cache_references", {"model": model})
    ]


def _style_model(builder: Builder, source: Source) -> list[Value]:
    return [Fused("style model", {"name": source.text("style_model_name")}, (source.id,))]


def _picture(source: Source) -> Fused:
    """Return the encoded picture that a node takes."""
    return source.part("clip_vision_output", "encoded picture")


def _style(builder: Builder, source: Source) -> list[Value]:
    model = source.part("style_model", "style model")
    kinds = {"multiply": "multiply", "attn_bias": "attention"}
    kind = source.text("strength_type", "multiply")
    if kind not in kinds:
        raise RefusedError(f"its strength_type {kind} is not known")
    picture = _picture(source)
    told = {"conditioning": source.get("conditioning"), "style_model": model.parts["name"]}
    strength = {"strength": source.get("strength", 1.0), "strength_type": kinds[kind]}
    inputs = {**told, **picture.parts, **strength}
    return [builder.add(source, "add_image_prompt", inputs, ids=(*model.ids, *picture.ids))]


def _gligen(builder: Builder, source: Source) -> list[Value]:
    return [Fused("GLIGEN model", {"gligen": source.text("gligen_name")}, (source.id,))]


def _gligen_box(builder: Builder, source: Source) -> list[Value]:
    network = source.part("gligen_textbox_model", "GLIGEN model")
    inputs = {name: source.get(name) for name in ("text", "width", "height", "x", "y")}
    told = {"conditioning": source.get("conditioning_to"), "text_encoder": source.get("clip")}
    return [builder.add(source, "add_gligen_box", {**told, **inputs, **network.parts}, ids=network.ids)]


def _unclip(builder: Builder, source: Source) -> list[Value]:
    picture = _picture(source)
    names = ("conditioning", "strength", "noise_augmentation")
    inputs = {**{name: source.get(name) for name in names}, **picture.parts}
    return [builder.add(source, "add_image_prompt", inputs, ids=picture.ids)]


def _style_patch(builder: Builder, source: Source) -> list[Value]:
    picture = _picture(source)
    inputs = {"model": source.get("model"), "control_net": source.get("model_patch"), **picture.parts}
    return [builder.add(source, "apply_style_patch", inputs, ids=picture.ids)]


def _fun_control(builder: Builder, source: Source) -> list[Value]:
    """ZImageFunControlnet: its mask is of the picture to fill in alone."""
    filled = source.get("inpaint_image")
    if filled is None and source.get("mask") is not None:
        source.remark("its mask is not used, since no picture to fill in is linked")
    inputs = {
        "model": source.get("model"),
        "control_net": source.get("model_patch"),
        "image": source.get("image"),
        "vae": source.get("vae"),
        "strength": source.get("strength", 1.0),
        "inpaint_image": filled,
        "mask": None if filled is None else source.get("mask"),
    }
    return [builder.add(source, "apply_control_patch", inputs)]


_LUMINA = {
    "superior": "You are an assistant designed to generate superior images with the superior degree of image-text alignment"
    " based on textual prompts or user prompts.",
    "alignment": "You are an assistant designed to generate high-quality images with the highest degree of image-text"
    " alignment based on textual prompts.",
}
"""System prompts that Lumina-Image 2.0 was trained with."""


def _lumina(builder: Builder, source: Source) -> list[Value]:
    """CLIPTextEncodeLumina2: a system prompt before the user's."""
    name = source.text("system_prompt", "superior")
    if name not in _LUMINA:
        raise RefusedError(f"its system prompt {name} is not known")
    texts = {"first": _LUMINA[name], "second": source.get("user_prompt", ""), "separator": " <Prompt Start> "}
    text = builder.add(source, "text_join", {**texts, "skip_empty": False}, suffix="text")
    return [builder.add(source, "encode_prompt", {"text": text, "text_encoder": source.get("clip")})]


def _unclip_checkpoint(builder: Builder, source: Source) -> list[Value]:
    """unCLIPCheckpointLoader: a checkpoint with an image encoder inside."""
    made = builder.add(source, "load_checkpoint", {"model": source.get("ckpt_name")})
    seeing = builder.add(
        source, "load_image_encoder", {"image_encoder": source.get("ckpt_name")}, suffix="image-encoder"
    )
    source.remark("the image encoder inside the checkpoint is looked for under the checkpoint's name")
    return [made, builder.ref(made.node, "text_encoder"), builder.ref(made.node, "vae"), seeing]


_SIDED = "positive negative latent"

RULES: tuple[AnyRule, ...] = (
    Made("unCLIPCheckpointLoader", ("load_checkpoint", "load_image_encoder"), _unclip_checkpoint, says="load_checkpoint and load_image_encoder"),
    Made("CLIPTextEncodeLumina2", ("text_join", "encode_prompt"), _lumina, says="text_join and encode_prompt"),
    Rule("FluxGuidance", "set_guidance", "conditioning guidance"),
    Rule("FluxDisableGuidance", "set_guidance", "conditioning", fixed={"guidance": None}),
    Rule("ReferenceLatent", "add_reference_latent", "conditioning latent"),
    Rule("FluxKontextMultiReferenceLatentMethod", "set_reference_method", "conditioning reference_latents_method:method",
         values={"reference_latents_method": {"uxo/uno": "uno", "index_timestep_zero": "index_timestep_zero"}}),
    Rule("CLIPTextEncodeFlux", "encode_prompt_parts", "clip:text_encoder clip_l:text_l t5xxl:text_t5 guidance", fixed={"family": "flux"}),
    Rule("CLIPTextEncodeSD3", "encode_prompt_parts", "clip:text_encoder clip_l:text_l clip_g:text_g t5xxl:text_t5", fixed={"family": "sd3"}, ignored="empty_padding"),
    Rule("CLIPTextEncodeHunyuanDiT", "encode_prompt_parts", "clip:text_encoder bert:text_l mt5xl:text_t5", fixed={"family": "hunyuan_dit"}),
    Rule("CLIPTextEncodePixArtAlpha", "encode_prompt_pixart", "clip:text_encoder text width height"),
    Rule("HunyuanRefinerLatent", "refiner_conditioning", "positive negative latent noise_augmentation", _SIDED),
    Rule("CLIPTextEncodeHiDream", "encode_prompt_parts", "clip:text_encoder clip_l:text_l clip_g:text_g t5xxl:text_t5 llama:text_llama", fixed={"family": "hidream"}),
    _edit_prompt("qwen_edit", "image"),
    _edit_prompt("qwen_edit_plus", "image1", "image2", "image3"),
    Rule("TextEncodeQwenImage21", "encode_prompts_with_images",
         "clip:text_encoder prompt:text negative_prompt:negative_text vae resolution "
         + " ".join(f"images.image_{number}:images[]" for number in range(1, 17)), "positive negative latent",
         defaults={"negative_prompt": "", "resolution": 1024}),
    Made("QwenImage21Cache", ("cache_references",), _prefix_cache, says="cache_references, or nothing"),
    Rule("FluxKVCache", "cache_references", "model"),
    Rule("T5TokenizerOptions", "set_t5_length", "clip:text_encoder min_padding min_length"),
    Rule("Flux2Scheduler", "flux2_sigmas", "steps width height", defaults={"steps": 20, "width": 1024, "height": 1024}),
    Rule("LotusConditioning", "lotus_conditioning"),
    Rule("ModelPatchLoader", "load_control_patch", "name:control_net"),
    Rule("QwenImageDiffsynthControlnet", "apply_control_patch", "model model_patch:control_net vae image strength mask"),
    Made("ZImageFunControlnet", ("apply_control_patch",), _fun_control, says="apply_control_patch"),
    Made("USOStyleReference", ("apply_style_patch",), _style_patch, says="apply_style_patch"),
    Made("StyleModelLoader", (), _style_model, says="part of add_image_prompt", gives={"style_model": "redux"}),
    Made("StyleModelApply", ("add_image_prompt",), _style, says="add_image_prompt", gives={"style_model": "redux"}),
    Rule("ModelSamplingStableCascade", "set_cascade_shift", "model shift"),
    Rule("StableCascade_StageB_Conditioning", "add_stage_c", "conditioning stage_c:latent"),
    Rule("StableCascade_StageC_VAEEncode", "encode_stage_c", "image:images vae compression", outputs="stage_c stage_b"),
    Rule("SD_4XUpscale_Conditioning", "enlarge_conditioning", "images positive negative scale_ratio noise_augmentation",
         outputs="positive negative latent"),
    Made("GLIGENLoader", (), _gligen, says="part of add_gligen_box"),
    Made("GLIGENTextBoxApply", ("add_gligen_box",), _gligen_box, says="add_gligen_box"),
    Made("unCLIPConditioning", ("add_image_prompt",), _unclip, says="add_image_prompt"),
)  # fmt: skip
"""By ComfyUI type."""
