"""What stands before a background: found by a network, or drawn with transparency (layerdiffuse)."""

from __future__ import annotations

import re
from typing import Any

from ..building import Builder, Fused, RefusedError, Source, Value
from .rule import AnyRule, Made, Make
from .segs import behind_black, outlined_words, segmenter, word_detector

_LAYERDIFFUSE = "ComfyUI-layerdiffuse"
_STYLE = "ComfyUI_LayerStyle"
_REMOVER = "background remover"


def _remover(name: str, default: str) -> Make:
    """Return a function for a node that names a network that removes backgrounds."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used.add("providers")
        return [Fused(_REMOVER, _named(source.text(name, default) if name else default), (source.id,))]

    return make


def _named(told: str) -> dict[str, Any]:
    """Return the network's file, and how it reads colours, by the name that packs call it by.

    RMBG 1.4 is an IS-Net; RMBG 2.0 is a BiRefNet, which goes by ImageNet's statistics (their model cards).
    """
    name = re.split(r"[:\s]", told.strip())[0]
    model = name if name.endswith(".onnx") else f"{name}.onnx"
    return {"model": model, "centred": bool(re.search(r"isnet|rmbg-1", name, re.IGNORECASE))}


def _removed(
    session: str = "", name: str = "", default: str = "u2net", image: str = "image", *, rgba: bool = False
) -> Make:
    """Return a function that removes what is behind things: the picture, black or transparent there, and the mask."""

    def make(builder: Builder, source: Source) -> list[Value]:
        ids: tuple[str, ...] = ()
        if session:
            found = source.part(session, _REMOVER)
            told, ids = found.parts, found.ids
        else:
            told = _named(source.text(name, default) if name else default)
        picture = source.get(image)
        mask = builder.add(
            source, "foreground_mask", {"image": picture, **told}, suffix="" if rgba else "mask", ids=ids
        )
        if rgba:
            inverse = builder.add(source, "invert_mask", {"mask": mask}, suffix="hidden")
            return [builder.add(source, "join_alpha", {"images": picture, "mask": inverse}, suffix="picture"), mask]
        return [behind_black(builder, source, picture, mask), mask]

    return make


def _rmbg(default: str) -> Make:
    """Return a function for RMBG and BiRefNet: what is before the background, on nothing or on a colour."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= {"sensitivity", "process_res", "refine_foreground"}
        picture = source.get("image")
        mask: Value = builder.add(
            source, "foreground_mask", {"image": picture, **_named(source.text("model", default))}, suffix="found"
        )
        blur, offset = int(source.number("mask_blur", 0)), int(source.number("mask_offset", 0))
        if blur:
            mask = builder.add(source, "blur_mask", {"mask": mask, "radius": min(512, blur)}, suffix="soft")
        if offset:
            inputs = {"mask": mask, "amount": offset, "tapered_corners": False}
            mask = builder.add(source, "grow_mask", inputs, suffix="grown")
        if source.flag("invert_output"):
            mask = builder.add(source, "invert_mask", {"mask": mask}, suffix="inverted")
        color = source.text("background_color", "#222222")[:7]
        if source.text("background", "Alpha") == "Color" and re.fullmatch("#[0-9a-fA-F]{6}", color):
            cut = behind_black(builder, source, picture, mask, color)
        else:
            hidden = builder.add(source, "invert_mask", {"mask": mask}, suffix="hidden")
            cut = builder.add(source, "join_alpha", {"images": picture, "mask": hidden}, suffix="picture")
        return [cut, mask, builder.add(source, "mask_to_image", {"mask": mask}, suffix="shown")]

    return make


_DETAILS = "detail_method detail_erode detail_dilate detail_range black_point white_point device max_megapixels"
"""What LayerStyle's models take for the matting of edges."""


def unrefined(source: Source) -> None:
    """Say that edges are not refined by matting, where the node does that."""
    source.used |= set(_DETAILS.split())
    if source.flag("process_detail", True):
        source.remark("edges are as the network finds them; the node refines them by matting")


def _cut(default: str, session: str = "") -> Make:
    """Return a function for LayerStyle's removers of backgrounds: transparent there, and the mask."""

    def make(builder: Builder, source: Source) -> list[Value]:
        unrefined(source)
        found = source.part(session, _REMOVER) if session else None
        told = _named(default) if found is None else found.parts
        picture, ids = source.get("image"), () if found is None else found.ids
        mask = builder.add(source, "foreground_mask", {"image": picture, **told}, ids=ids)
        hidden = builder.add(source, "invert_mask", {"mask": mask}, suffix="hidden")
        return [builder.add(source, "join_alpha", {"images": picture, "mask": hidden}, suffix="picture"), mask]

    return make


def _words_cut(builder: Builder, source: Source) -> list[Value]:
    """SegmentAnythingUltra: what words say, on nothing, and the mask."""
    unrefined(source)
    source.used.add("cache_model")
    models = {
        **word_detector(source.text("grounding_dino_model", "SwinT")),
        **segmenter(source.text("sam_model", "sam_vit_h")),
    }
    picture = source.get("image")
    mask = outlined_words(builder, source, picture, models)
    hidden = builder.add(source, "invert_mask", {"mask": mask}, suffix="hidden")
    return [builder.add(source, "join_alpha", {"images": picture, "mask": hidden}, suffix="picture"), mask]


def _rembg(builder: Builder, source: Source) -> list[Value]:
    """Image Rembg (Remove Background): transparent, on a colour, or the mask alone."""
    if source.flag("alpha_matting") or source.flag("post_processing"):
        source.remark("edges are as the network finds them")
    source.used |= {name for name in source.inputs if name.startswith("alpha_matting")}
    picture = source.get("images")
    mask = builder.add(
        source, "foreground_mask", {"image": picture, **_named(source.text("model", "u2net"))}, suffix="mask"
    )
    if source.flag("only_mask"):
        source.used |= {"transparency", "background_color"}
        return [builder.add(source, "mask_to_image", {"mask": mask})]
    colors = {
        "black": "#000000",
        "white": "#ffffff",
        "magenta": "#ff00ff",
        "chroma green": "#00ff00",
        "chroma blue": "#0000ff",
    }
    color = source.text("background_color", "none")
    if color in colors and not source.flag("transparency", True):
        return [behind_black(builder, source, picture, mask, colors[color])]
    hidden = builder.add(source, "invert_mask", {"mask": mask}, suffix="hidden")
    return [builder.add(source, "join_alpha", {"images": picture, "mask": hidden})]


def _easy(builder: Builder, source: Source) -> list[Value]:
    """Easy imageRemBg: transparent, or on black or white."""
    source.used |= {"torchscript_jit", "refine_foreground", "image_output", "save_prefix"}
    kind = source.text("rem_mode", "RMBG-1.4")
    if not kind.startswith("RMBG"):
        raise RefusedError(f"its rem_mode {kind} has no native counterpart; RMBG has")
    picture = source.get("images")
    mask = builder.add(source, "foreground_mask", {"image": picture, **_named(kind)}, suffix="mask")
    behind = source.text("add_background", "none")
    if behind in ("white", "black"):
        return [behind_black(builder, source, picture, mask, {"white": "#ffffff", "black": "#000000"}[behind]), mask]
    hidden = builder.add(source, "invert_mask", {"mask": mask}, suffix="hidden")
    return [builder.add(source, "join_alpha", {"images": picture, "mask": hidden}), mask]


_LAYERS = {
    ("SDXL", "Attention Injection"): "layer_xl_transparent_attn.safetensors",
    ("SDXL", "Conv Injection"): "layer_xl_transparent_conv.safetensors",
}


def _layered(builder: Builder, source: Source) -> list[Value]:
    """LayeredDiffusionApply: a LoRA that has SDXL draw what stands before a transparent background."""
    config = source.text("config", "") or f"SDXL, {source.text('method', 'Attention Injection')}"
    version, _, method = config.partition(", ")
    if (version, method) not in _LAYERS:
        raise RefusedError(f"its config {config} shares attention among pictures, which no native node does")
    inputs = {"model": source.get("model"), "lora": _LAYERS[version, method], "strength": source.get("weight", 1.0)}
    return [builder.add(source, "apply_lora", inputs)]


def _transparent(rgba: bool) -> Make:
    """Return a function for LayeredDiffusionDecode: colours, and how opaque they are."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= {"sub_batch_size", "per_batch"}
        if source.text("sd_version", "SDXL") != "SDXL":
            raise RefusedError(
                "the decoder for Stable Diffusion 1 goes with shared attention, which no native node does"
            )
        inputs = {"images": source.get("images"), "latent": source.get("samples")}
        made = builder.add(source, "decode_transparency", inputs, suffix="colours" if rgba else "")
        mask = builder.ref(made.node, "mask")
        if not rgba:
            return [made, mask]
        hidden = builder.add(source, "invert_mask", {"mask": mask}, suffix="hidden")
        return [builder.add(source, "join_alpha", {"images": made, "mask": hidden})]

    return make


_REMOVES = ("foreground_mask", "image_size", "solid_image", "composite_images", "invert_mask", "join_alpha")

RULES: tuple[AnyRule, ...] = (
    Made("LayeredDiffusionApply", ("apply_lora",), _layered, says="apply_lora", pack=_LAYERDIFFUSE),
    Made("LayeredDiffusionDecode", ("decode_transparency",), _transparent(rgba=False), says="decode_transparency", pack=_LAYERDIFFUSE),
    Made("LayeredDiffusionDecodeRGBA", ("decode_transparency", "invert_mask", "join_alpha"), _transparent(rgba=True), says="decode_transparency and join_alpha", pack=_LAYERDIFFUSE),
    Made("RemBGSession+", (), _remover("model", "u2net"), says="part of the foreground_mask behind it", pack="ComfyUI_essentials"),
    Made("ImageRemoveBackground+", _REMOVES, _removed("rembg_session"), says="foreground_mask and composite_images", differs="by description", pack="ComfyUI_essentials"),
    Made("BRIA_RMBG_ModelLoader_Zho", (), _remover("", "RMBG-1.4"), says="part of the foreground_mask behind it", pack="ComfyUI-BRIA_AI-RMBG"),
    Made("BRIA_RMBG_Zho", _REMOVES, _removed("rmbgmodel", rgba=True), says="foreground_mask and join_alpha", differs="by description", pack="ComfyUI-BRIA_AI-RMBG"),
    *(
        Made(type, (*_REMOVES, "blur_mask", "grow_mask", "mask_to_image"), _rmbg(default), says="foreground_mask, and join_alpha or a colour behind",
             differs="by description", pack="ComfyUI-RMBG")
        for type, default in (("RMBG", "RMBG-2.0"), ("BiRefNetRMBG", "BiRefNet-general"))
    ),
    *(
        Made(f"LayerMask: {name}", _REMOVES, _cut("RMBG-1.4"), says="foreground_mask and join_alpha", differs="by description", pack=_STYLE)
        for name in ("RemBgUltra", "RmBgUltra V2")
    ),
    *(
        Made(f"LayerMask: SegmentAnythingUltra{version}", ("detect_segments", "outline_segments", "segments_to_mask", "invert_mask", "join_alpha"), _words_cut,
             says="detect_segments, outline_segments and join_alpha", differs="by description", pack=_STYLE)
        for version in ("", " V2")
    ),
    Made("LayerMask: BiRefNetUltra", _REMOVES, _cut("BiRefNet-general"), says="foreground_mask and join_alpha", differs="by description", pack=_STYLE),
    Made("LayerMask: BiRefNetUltraV2", _REMOVES, _cut("", "birefnet_model"), says="foreground_mask and join_alpha", differs="by description", pack=_STYLE),
    Made("LayerMask: LoadBiRefNetModel", (), _remover("", "BiRefNet-general"), says="part of the foreground_mask behind it", pack=_STYLE),
    Made("LayerMask: LoadBiRefNetModelV2", (), _remover("version", "BiRefNet-General"), says="part of the foreground_mask behind it", pack=_STYLE),
    Made("Image Rembg (Remove Background)", (*_REMOVES, "mask_to_image"), _rembg, says="foreground_mask and join_alpha", differs="by description", pack="was-node-suite-comfyui"),
    Made("easy imageRemBg", _REMOVES, _easy, says="foreground_mask and join_alpha", differs="by description", pack="ComfyUI-Easy-Use"),
    Made("Image Remove Background (rembg)", _REMOVES, _removed(rgba=True), says="foreground_mask and join_alpha", differs="by description", pack="rembg-comfyui-node"),
)  # fmt: skip
"""By ComfyUI type."""
