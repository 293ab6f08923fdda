"""IP-Adapters of the custom pack IPAdapter plus.

The pack is under the GPL: its rules go by its documentation and example workflows, its weight types by InstantStyle
(Wang et al. 2024, arXiv:2404.02733), which Diffusers documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..building import Builder, Fused, Ref, RefusedError, Source, Value
from .faces import ADAPTER, RECOGNISER, faces_applied, recogniser
from .rule import AnyRule, Made

_PACK = "ComfyUI_IPAdapter_plus"
_PLAIN = ("linear", "standard", "original")
_PICTURES, _NOTHING = "pictures of an IP-Adapter", "no picture of an IP-Adapter"
_PARTS: Mapping[str, str] = {
    "style and composition": "style_and_layout",
    "style transfer": "style",
    "composition": "layout",
}
"""Layers by what a weight type's name has in it, the longer name first."""

_VIT_H, _VIT_G = "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors"
_PRESETS: Mapping[str, tuple[str, str]] = {
    "LIGHT": ("ip-adapter_sd15_light_v11.bin", ""),
    "STANDARD": ("ip-adapter_sd15.safetensors", "ip-adapter_sdxl_vit-h.safetensors"),
    "VIT-G": ("ip-adapter_sd15_vit-G.safetensors", "ip-adapter_sdxl.safetensors"),
    "PLUS FACE": ("ip-adapter-plus-face_sd15.safetensors", "ip-adapter-plus-face_sdxl_vit-h.safetensors"),
    "PLUS": ("ip-adapter-plus_sd15.safetensors", "ip-adapter-plus_sdxl_vit-h.safetensors"),
    "FULL FACE": ("ip-adapter-full-face_sd15.safetensors", ""),
}
"""Published file names by how a preset begins: for Stable Diffusion 1.5, and for SDXL."""
_FACE_PRESETS: Mapping[str, tuple[str, str]] = {
    "FACEID PLUS V2": ("ip-adapter-faceid-plusv2_sd15.bin", "ip-adapter-faceid-plusv2_sdxl.bin"),
    "FACEID PLUS - SD1.5": ("ip-adapter-faceid-plus_sd15.bin", ""),
    "FACEID PORTRAIT UNNORM": ("", "ip-adapter-faceid-portrait_sdxl_unnorm.bin"),
    "FACEID PORTRAIT": ("ip-adapter-faceid-portrait-v11_sd15.bin", "ip-adapter-faceid-portrait_sdxl.bin"),
    "FACEID": ("ip-adapter-faceid_sd15.bin", "ip-adapter-faceid_sdxl.bin"),
}
"""The same of those that read faces."""


def _adapter_loaded(builder: Builder, source: Source) -> list[Value]:
    made = builder.add(source, "load_ip_adapter", {"ip_adapter": source.get("ipadapter_file")})
    return [Fused(ADAPTER, {"ip_adapter": made})]


def _models(source: Source) -> dict[str, Any]:
    """An adapter and its image encoder: that of its loader, or one of its own."""
    adapter = source.part("ipadapter", ADAPTER)
    encoder = source.get("clip_vision")
    encoder = adapter.parts.get("image_encoder") if encoder is None else encoder
    if encoder is None:
        raise RefusedError("its image encoder is missing (clip_vision)")
    return {"ip_adapter": adapter.parts["ip_adapter"], "image_encoder": encoder}


def _part(builder: Builder, source: Source) -> str:
    """Which layers a weight type means."""
    kind = source.text("weight_type", "linear")
    part = next((part for start, part in _PARTS.items() if start in kind), "all")
    if part == "all" and kind not in _PLAIN:
        source.remark(f"weight_type {kind} is taken as linear")
    if part != "all" and kind.removesuffix(" (SDXL)") not in _PARTS:
        source.remark(
            f"weight_type {kind} is taken as the {part.replace('_', ' ')} layers alone, as InstantStyle names them"
        )
    if part != "all" and not _is_xl(builder, source.get("model")):
        source.remark("style and composition act in SDXL alone; with another family the run stops and says so")
    return part


def _applied(builder: Builder, source: Source, image: Value, part: str, **changes: Any) -> Ref:
    """Make one apply_ip_adapter; ``changes`` stand for what other nodes call otherwise."""
    source.used |= {"embeds_scaling", "noise", "unfold_batch", "encode_batch_size"}
    together = source.text("combine_embeds", "concat")
    if together != "concat":
        source.remark(f"several pictures are seen side by side (concat), not combined by {together}")
    inputs = {
        "model": source.get("model"), **_models(source), "image": image, "part": part, "negative_image": source.get("image_negative"),
        "mask": source.get("attn_mask"), "start": source.get("start_at", 0.0), "end": source.get("end_at", 1.0),
    }  # fmt: skip
    if "strength" not in changes:
        changes["strength"] = source.get("weight", 1.0)
    suffix = changes.pop("suffix", "")
    return builder.add(source, "apply_ip_adapter", inputs | changes, suffix=suffix)


def _adapter_applied(builder: Builder, source: Source) -> list[Value]:
    """IPAdapter and IPAdapterAdvanced."""
    if source.get("insightface") is not None or RECOGNISER in source.part("ipadapter", ADAPTER).parts:
        return faces_applied(builder, source)[:1]
    return [_applied(builder, source, source.get("image"), _part(builder, source))]


def _batch_applied(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterBatch."""
    source.remark("of a batch of pictures all are seen by each result, not one by each")
    return _adapter_applied(builder, source)


def _tiled(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterTiled."""
    source.remark("the middle square of the picture is seen everywhere, not each tile in its place")
    image = source.get("image")
    sharp = source.number("sharpening", 0.0)
    if sharp:
        image = builder.add(source, "sharpen_image", {"images": image, "radius": 1, "strength": sharp}, suffix="sharp")
    return [_applied(builder, source, image, _part(builder, source)), None, None]


def _styled(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterStyleComposition: the style of one picture, the layout of another."""
    if source.flag("expand_style"):
        source.remark("expand_style is left out: the style acts in its own layers alone")
    if not _is_xl(builder, source.get("model")):
        source.remark("style and composition act in SDXL alone; with another family the run stops and says so")
    style = source.get("weight_style", 1.0)
    made: Value = _applied(builder, source, source.get("image_style"), "style", strength=style, suffix="style")
    layout = source.get("image_composition")
    if layout is None:
        return [made]
    weight = source.get("weight_composition", 1.0)
    return [_applied(builder, source, layout, "layout", strength=weight, model=made)]


def _encoded(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterEncoder: pictures that wait for the node that applies them."""
    source.used |= {"ipadapter", "clip_vision"}
    if source.number("weight", 1.0) != 1.0:
        source.remark("the weight of a single picture is left out; the adapter's weight acts on all")
    if source.get("mask") is not None:
        raise RefusedError("its input mask has no native counterpart; the node that applies the adapter takes one")
    image = source.get("image")
    if not isinstance(image, Ref):
        raise RefusedError("its picture is missing")
    return [Fused(_PICTURES, {"images": (image,)}, (source.id,)), Fused(_NOTHING, {}, (source.id,))]


def _combined(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterCombineEmbeds."""
    method = source.text("method", "concat")
    if method != "concat":
        source.remark(f"the pictures are seen side by side (concat), not combined by {method}")
    found = [item for number in range(1, 6) if (item := source.fused(f"embed{number}", _PICTURES)) is not None]
    if not found:
        raise RefusedError("none of its pictures is linked")
    images = tuple(image for item in found for image in item.parts["images"])
    return [Fused(_PICTURES, {"images": images}, (*(id for item in found for id in item.ids), source.id))]


def _embeds_applied(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterEmbeds: pictures that IPAdapterEncoder gave."""
    positive = source.part("pos_embed", _PICTURES)
    negative = source.get("neg_embed")
    unwanted = None
    if isinstance(negative, Fused) and negative.kind == _PICTURES:
        unwanted = negative.parts["images"][0]
    elif isinstance(negative, Fused) and negative.kind != _NOTHING:
        raise RefusedError("neg_embed is no encoded picture")
    images = list(positive.parts["images"])
    image = images[0]
    if len(images) > 1:
        image = builder.add(source, "batch_images", {"images": images, "resize": True}, suffix="pictures")
    ids = {"negative_image": unwanted} if unwanted is not None else {}
    return [_applied(builder, source, image, _part(builder, source), **ids)]


def _noise(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterNoise: a noisy picture for image_negative."""
    source.remark("its noise is drawn by add_image_noise, whatever its type")
    source.used.add("type")
    image = source.get("image_optional")
    if image is None:
        image = builder.add(source, "solid_image", {"width": 224, "height": 224, "color": "#808080"}, suffix="grey")
    blur = int(source.number("blur", 0))
    inputs = {"images": image, "strength": min(1.0, source.number("strength", 1.0)), "seed": 0}
    made = builder.add(source, "add_image_noise", inputs, suffix="noise" if blur else "")
    return [
        builder.add(source, "blur_image", {"images": made, "radius": blur, "sigma": max(0.1, blur / 3)})
        if blur
        else made
    ]


def _preset(builder: Builder, source: Source, presets: Mapping[str, tuple[str, str]], preset: str) -> list[Value]:
    """Load the published files of a preset, for the family that the checkpoint's name tells."""
    before = source.get("ipadapter")
    found = next((files for start, files in presets.items() if preset.startswith(start)), None)
    if found is None:
        raise RefusedError(f"its preset {preset} has no native counterpart")
    large = _is_xl(builder, source.get("model"))
    name = found[1] if large else found[0]
    if not name:
        raise RefusedError(f"its preset {preset} is for {'Stable Diffusion 1.5' if large else 'SDXL'}")
    encoder = _VIT_G if preset.startswith("VIT-G") else _VIT_H
    source.remark(
        f"the files of {'SDXL' if large else 'Stable Diffusion 1.5'} are taken, as the checkpoint's name tells"
    )
    adapter = builder.add(source, "load_ip_adapter", {"ip_adapter": name})
    if isinstance(before, Fused) and before.kind == ADAPTER and before.parts.get("encoder") == encoder:
        seeing = before.parts["image_encoder"]
    else:
        seeing = builder.add(source, "load_image_encoder", {"image_encoder": encoder}, suffix="image-encoder")
    parts = {"ip_adapter": adapter, "image_encoder": seeing, "encoder": encoder}
    return [source.get("model"), Fused(ADAPTER, parts)]


def _unified(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterUnifiedLoader."""
    return _preset(builder, source, _PRESETS, source.text("preset", "STANDARD (medium strength)"))


def _face_id(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterUnifiedLoaderFaceID: the adapter, the LoRA that belongs to it, and what recognises faces."""
    source.used.add("provider")
    preset, strength = source.text("preset", "FACEID"), source.get("lora_strength", 0.6)
    model, adapter = _preset(builder, source, _FACE_PRESETS, preset)
    assert isinstance(adapter, Fused)
    if "PORTRAIT" not in preset:
        stem = str(builder.nodes[adapter.parts["ip_adapter"].node].params["ip_adapter"]).removesuffix(".bin")
        lora = {"model": model, "lora": f"{stem}_lora.safetensors", "strength": strength}
        model = builder.add(source, "apply_lora", lora, suffix="lora")
    parts = {**adapter.parts, RECOGNISER: recogniser("buffalo_l", source)}
    return [model, Fused(ADAPTER, parts, adapter.ids)]


def _community(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterUnifiedLoaderCommunity: the composition adapters of ostris."""
    files = {"Composition": ("ip_plus_composition_sd15.safetensors", "ip_plus_composition_sdxl.safetensors")}
    return _preset(builder, source, files, source.text("preset", "Composition"))


def _is_xl(builder: Builder, model: Value) -> bool:
    """Tell whether the checkpoint that a model comes from has a name of SDXL's."""
    seen: set[str] = set()
    while isinstance(model, Ref) and model.node not in seen:
        seen.add(model.node)
        entry = builder.nodes[model.node]
        if entry.type in ("load_checkpoint", "load_diffusion_model"):
            name = str(entry.params.get("model", "")).lower()
            return "xl" in name or "pony" in name or "illustrious" in name
        link = entry.links.get("model")
        model = Ref(link.partition(".")[0]) if isinstance(link, str) else None
    return False


RULES: tuple[AnyRule, ...] = (
    Made("IPAdapterModelLoader", ("load_ip_adapter",), _adapter_loaded, says="load_ip_adapter", pack=_PACK),
    Made("IPAdapterUnifiedLoader", ("load_ip_adapter", "load_image_encoder"), _unified, says="load_ip_adapter and load_image_encoder", pack=_PACK),
    Made("IPAdapterUnifiedLoaderCommunity", ("load_ip_adapter", "load_image_encoder"), _community, says="load_ip_adapter and load_image_encoder", pack=_PACK),
    Made("IPAdapterUnifiedLoaderFaceID", ("load_ip_adapter", "load_image_encoder", "apply_lora"), _face_id, says="load_ip_adapter, load_image_encoder and apply_lora", pack=_PACK),
    Made("IPAdapterBatch", ("apply_ip_adapter",), _batch_applied, says="apply_ip_adapter", pack=_PACK),
    Made("IPAdapterTiled", ("apply_ip_adapter", "sharpen_image"), _tiled, says="apply_ip_adapter", pack=_PACK),
    Made("IPAdapterStyleComposition", ("apply_ip_adapter",), _styled, says="one apply_ip_adapter for the style, one for the layout", pack=_PACK),
    Made("IPAdapterEncoder", (), _encoded, says="part of the apply_ip_adapter that IPAdapterEmbeds becomes", pack=_PACK),
    Made("IPAdapterCombineEmbeds", (), _combined, says="part of the apply_ip_adapter that IPAdapterEmbeds becomes", pack=_PACK),
    Made("IPAdapterEmbeds", ("apply_ip_adapter", "batch_images"), _embeds_applied, says="apply_ip_adapter", pack=_PACK),
    Made("IPAdapterNoise", ("solid_image", "add_image_noise", "blur_image"), _noise, says="add_image_noise and blur_image", pack=_PACK),
    *(
        Made(type, ("apply_ip_adapter", "find_faces", "apply_face_adapter"), _adapter_applied, says="apply_ip_adapter, or apply_face_adapter", pack=_PACK)
        for type in ("IPAdapter", "IPAdapterAdvanced", "IPAdapterApply")
    ),
)  # fmt: skip
"""By ComfyUI type."""
