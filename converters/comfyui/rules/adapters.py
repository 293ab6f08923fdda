"""IP-Adapters of the custom pack IPAdapter plus."""

from __future__ import annotations

from collections.abc import Mapping

from ..building import Builder, Fused, Ref, RefusedError, Source, Value
from .rule import AnyRule, Made

_PACK = "ComfyUI_IPAdapter_plus"
_PLAIN = ("linear", "standard", "original")

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


def _adapter_loaded(builder: Builder, source: Source) -> list[Value]:
    made = builder.add(source, "load_ip_adapter", {"ip_adapter": source.get("ipadapter_file")})
    return [Fused("IP-Adapter", {"ip_adapter": made})]


def _adapter_applied(builder: Builder, source: Source) -> list[Value]:
    """IPAdapter and IPAdapterAdvanced, with an adapter and an image encoder of their own."""
    adapter = source.fused("ipadapter", "IP-Adapter")
    if adapter is None:
        raise RefusedError("its adapter is missing")
    encoder = source.get("clip_vision")
    if encoder is None:
        encoder = adapter.parts.get("image_encoder")
    if encoder is None:
        raise RefusedError("its image encoder is missing (clip_vision)")
    kind = source.text("weight_type", "linear")
    if kind not in _PLAIN:
        source.remark(f"weight_type {kind} is taken as linear")
    for name in ("image_negative", "insightface"):
        if source.get(name) is not None:
            raise RefusedError(f"its input {name} has no native counterpart")
    source.used |= {"combine_embeds", "embeds_scaling", "noise", "unfold_batch"}
    inputs = {
        "model": source.get("model"), "ip_adapter": adapter.parts["ip_adapter"], "image_encoder": encoder, "image": source.get("image"),
        "mask": source.get("attn_mask"), "strength": source.get("weight", 1.0), "start": source.get("start_at", 0.0), "end": source.get("end_at", 1.0),
    }  # fmt: skip
    return [builder.add(source, "apply_ip_adapter", inputs)]


def _unified(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterUnifiedLoader: the published files of a preset, for the family that the checkpoint's name tells."""
    before = source.get("ipadapter")
    preset = source.text("preset", "STANDARD (medium strength)")
    if isinstance(before, Fused) and before.kind == "IP-Adapter":
        return [source.get("model"), before]
    found = next((files for start, files in _PRESETS.items() if preset.startswith(start)), None)
    if found is None:
        raise RefusedError(f"its preset {preset} has no native counterpart")
    large = _is_xl(builder, source.get("model"))
    name = found[1] if large else found[0]
    if not name:
        raise RefusedError(f"its preset {preset} is for Stable Diffusion 1.5")
    encoder = _VIT_G if preset.startswith("VIT-G") else _VIT_H
    source.remark(
        f"the files of {'SDXL' if large else 'Stable Diffusion 1.5'} are taken, as the checkpoint's name tells"
    )
    adapter = builder.add(source, "load_ip_adapter", {"ip_adapter": name})
    seeing = builder.add(source, "load_image_encoder", {"image_encoder": encoder}, suffix="image-encoder")
    return [source.get("model"), Fused("IP-Adapter", {"ip_adapter": adapter, "image_encoder": seeing})]


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
    *(
        Made(type, ("apply_ip_adapter",), _adapter_applied, says="apply_ip_adapter", pack=_PACK)
        for type in ("IPAdapter", "IPAdapterAdvanced", "IPAdapterApply")
    ),
)  # fmt: skip
"""By ComfyUI type."""
