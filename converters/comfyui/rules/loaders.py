"""Loaders of models, and what saves them."""

from __future__ import annotations

from typing import Any

from graphflow.modelfiles.families import installed
from graphflow.modelfiles.family import Family

from ..building import Builder, Const, Ref, RefusedError, Source, Value
from .common import PREFIX
from .rule import AnyRule, Made, Rule

_SAVED = {"filename_prefix": PREFIX}
_DTYPE = frozenset({"dtype"})
_NO_AUTOENCODER = "pixel_space"


def _autoencoder(builder: Builder, source: Source) -> list[Value]:
    name = source.get("vae_name")
    if isinstance(name, Const) and name.value == _NO_AUTOENCODER:
        raise RefusedError(
            f"{_NO_AUTOENCODER} is no file: it stands for models that draw pixels, such as Chroma Radiance, and none of them"
            " is built here"
        )
    made = builder.add(source, "load_vae", {"model": name})
    if isinstance(name, Const):
        builder.direct[f"{made.node}.model"] = (source.id, "vae_name")
    return [made]


def _text_encoders(builder: Builder, source: Source) -> list[Value]:
    names: list[Any] = [source.get("clip_name")] if "clip_name" in source.inputs else []
    names += [source.get(f"clip_name{number}") for number in range(1, 5)]
    names = [name for name in names if name is not None]
    fallback = {1: "stable_diffusion", 2: "sdxl", 3: "sd3", 4: "hidream"}[max(1, min(4, len(names)))]
    family = source.text("type", fallback)
    source.used |= {"device"}
    keys = ("model", "model_2", "model_3", "model_4")
    inputs = dict(zip(keys, names, strict=False))
    natives = _running(family)
    if natives and len(names) <= len(natives[0].encoders()):
        # Where ComfyUI has one word for several families, the file tells which one it is.
        wanted = "auto" if len(names) == 1 and (family == "stable_diffusion" or len(natives) > 1) else natives[0].name
        return [builder.add(source, "load_text_encoder", {**inputs, "family": wanted})]
    known = builder.spec("load_family_text_encoder").inputs["family"].choices
    if family not in known:
        source.remark(f"its type {family} is not named further")
        family = "other"
    source.remark(f"the text encoders of {family} are named, but this version has no such family to run them")
    return [builder.add(source, "load_family_text_encoder", {**inputs, "family": family})]


def _running(named: str) -> list[Family]:
    """The families that ComfyUI's loaders call so, of those whose text encoders run here."""
    families = (family for family in installed().values() if named in family.comfyui_loader.values())
    return [family for family in families if family.encoders()]


def _lora_stack(builder: Builder, source: Source) -> list[Value]:
    """Power Lora Loader (rgthree): each switched-on row is one LoRA, in order."""
    model, text_encoder = source.get("model"), source.get("clip")
    for name, value in list(source.inputs.items()):
        row = getattr(value, "value", None)
        if not isinstance(row, dict):
            continue
        source.used.add(name)
        if not row.get("on") or not row.get("lora") or row["lora"] == "None":
            continue
        strength = row.get("strength", 1.0)
        second = row.get("strengthTwo")
        model, text_encoder = apply_lora(
            builder, source, model, text_encoder, row["lora"], strength, strength if second is None else second, name
        )
    source.used |= {"PowerLoraLoaderHeaderWidget", "➕ Add Lora"}
    return [model, text_encoder]


def apply_lora(
    builder: Builder,
    source: Source,
    model: Value,
    text_encoder: Value,
    lora: Any,
    strength: Any,
    text_strength: Any,
    suffix: str = "",
    ids: tuple[str, ...] = (),
) -> tuple[Value, Value]:
    """Make one ``apply_lora`` and return the model and the text encoder behind it."""
    inputs = {"model": model, "text_encoder": text_encoder, "lora": lora, "strength": strength}
    if text_encoder is not None:
        inputs["text_encoder_strength"] = text_strength
    made = builder.add(source, "apply_lora", inputs, suffix=suffix, ids=ids)
    return made, (builder.ref(made.node, "text_encoder") if isinstance(text_encoder, Ref) else text_encoder)


RULES: tuple[AnyRule, ...] = (
    Rule("CheckpointLoaderSimple", "load_checkpoint", "ckpt_name:model", "model text_encoder vae"),
    Rule(
        "CheckpointLoader", "load_checkpoint", "ckpt_name:model", "model text_encoder vae",
        differs="the configuration file is not read; what the checkpoint's own weights say counts", ignored="config_name", back=False,
    ),
    Rule("DiffusersLoader", "load_checkpoint", "model_path:model", "model text_encoder vae", back=False),
    Rule("UNETLoader", "load_diffusion_model", "unet_name:model"),
    Rule("UnetLoaderGGUF", "load_diffusion_model", "unet_name:model", pack="ComfyUI-GGUF", back=False),
    Rule("UnetLoaderGGUFAdvanced", "load_diffusion_model", "unet_name:model", pack="ComfyUI-GGUF",
         ignored="dequant_dtype patch_dtype patch_on_device", back=False),
    Rule("LoaderGGUF", "load_diffusion_model", "gguf_name:model", pack="gguf", back=False),
    Made("VAELoader", ("load_vae",), _autoencoder, back=Rule("VAELoader", "load_vae", "vae_name:model")),
    Rule("VaeGGUF", "load_vae", "vae_name:model", pack="gguf", back=False),
    Rule("VAELoaderKJ", "load_vae", "vae_name:model", pack="ComfyUI-KJNodes", ignored="device weight_dtype", back=False),
    *(
        Made(type, ("load_text_encoder", "load_family_text_encoder"), _text_encoders, pack=pack,
             says="names one to four text encoders of a family")
        for type, pack in (
            ("CLIPLoader", ""),
            ("DualCLIPLoader", ""),
            ("TripleCLIPLoader", ""),
            ("QuadrupleCLIPLoader", ""),
            ("CLIPLoaderGGUF", "ComfyUI-GGUF"),
            ("DualCLIPLoaderGGUF", "ComfyUI-GGUF"),
            ("TripleCLIPLoaderGGUF", "ComfyUI-GGUF"),
            ("QuadrupleCLIPLoaderGGUF", "ComfyUI-GGUF"),
        )
    ),
    Rule("LoraLoader", "apply_lora", "lora_name:lora model clip:text_encoder strength_model:strength strength_clip:text_encoder_strength", "model text_encoder"),
    Rule("LoraLoaderModelOnly", "apply_lora", "lora_name:lora model strength_model:strength"),
    Rule("CR Load LoRA", "apply_lora", "lora_name:lora model clip:text_encoder strength_model:strength strength_clip:text_encoder_strength",
         "model text_encoder", pack="ComfyUI_Comfyroll_CustomNodes", ignored="switch", back=False),
    Made("Power Lora Loader (rgthree)", ("apply_lora",), _lora_stack, says="one apply_lora for each LoRA that is on", pack="rgthree-comfy"),
    Rule("CLIPSetLastLayer", "set_text_layer", "stop_at_clip_layer:layer clip:text_encoder"),
    Rule("CheckpointSave", "save_checkpoint", "model clip:text_encoder vae filename_prefix", values=_SAVED, loose=_DTYPE),
    Rule("ImageOnlyCheckpointSave", "save_image_to_video_checkpoint", "model clip_vision:image_encoder vae filename_prefix", values=_SAVED, loose=_DTYPE),
    Rule("ModelSave", "save_model", "model filename_prefix", values=_SAVED, loose=_DTYPE),
    Rule("CLIPSave", "save_text_encoder", "clip:text_encoder filename_prefix", values=_SAVED, loose=_DTYPE),
    Rule("VAESave", "save_vae", "vae filename_prefix", values=_SAVED, loose=_DTYPE),
    Rule("LoraSave", "save_lora", "filename_prefix rank model_diff:model text_encoder_diff:text_encoder", values=_SAVED,
         differs="differences of biases are left out", ignored="lora_type bias_diff"),
)  # fmt: skip
"""By ComfyUI type."""
