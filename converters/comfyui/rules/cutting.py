"""Inpainting in a cut-out (Inpaint-CropAndStitch), removing backgrounds, transparency (layerdiffuse), words (Florence2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..building import Builder, Fused, Ref, RefusedError, Source, Value
from .images import sized
from .rule import AnyRule, Made, Make
from .segs import behind_black

_CROP = "ComfyUI-Inpaint-CropAndStitch"
_LAYERDIFFUSE, _FLORENCE = "ComfyUI-layerdiffuse", "ComfyUI-Florence2"
_STITCH, _REMOVER, _DESCRIBER = "cut-out", "background remover", "describer"
_SIDES = ("up", "down", "left", "right")
_PRERESIZED = {
    "ensure minimum resolution": "max(1, c / a, d / b)",
    "ensure maximum resolution": "min(1, c / a, d / b)",
}


def _improved(builder: Builder, source: Source) -> list[Value]:
    """InpaintCropImproved."""
    source.used |= {
        "device_mode", "downscale_algorithm", "upscale_algorithm", "mask_hipass_filter", "output_target_width", "output_target_height",
        *(f"preresize_{end}_{edge}" for end in ("min", "max") for edge in ("width", "height")), "preresize_mode",
        *(f"extend_{side}_factor" for side in _SIDES),
    }  # fmt: skip
    image, mask = source.get("image"), source.get("mask")
    context = source.get("optional_context_mask")
    if source.flag("preresize"):
        image, mask, context = _preresized(builder, source, image, mask, context)
    if mask is not None and source.flag("mask_invert"):
        mask = builder.add(source, "invert_mask", {"mask": mask}, suffix="inverted")
    grow = int(source.number("mask_expand_pixels", 0))
    if mask is not None and grow:
        mask = builder.add(
            source, "grow_mask", {"mask": mask, "amount": grow, "tapered_corners": False}, suffix="grown"
        )
    if source.flag("extend_for_outpainting"):
        image, mask = _extended(builder, source, image, mask)
    if mask is None:
        raise RefusedError("it has no mask")
    target = (int(source.number("output_target_width", 512)), int(source.number("output_target_height", 512)))
    padding = source.text("output_padding", "32")
    multiple = int(padding) if padding.isdigit() and int(padding) else 1
    exact = source.flag("output_resize_to_target_size", True)
    size = {"width": target[0], "height": target[1]} if exact else {"guide_size": 0}
    return _cut(
        builder, source, image, mask, context,
        factor=source.number("context_from_mask_extend_factor", 1.2), aspect=target[0] / target[1] if exact else 0.0,
        holes=source.flag("mask_fill_holes", True), blend=int(source.number("mask_blend_pixels", 32)),
        size={**size, "multiple_of": min(256, multiple)},
    )  # fmt: skip


def _first(builder: Builder, source: Source) -> list[Value]:
    """InpaintCrop, the first version."""
    source.used |= {"rescale_algorithm", "blur_mask_pixels", "rescale_factor", "force_width", "force_height"}
    source.used |= {f"{end}_{edge}" for end in ("min", "max") for edge in ("width", "height")}
    image, mask = source.get("image"), source.get("mask")
    if source.flag("invert_mask"):
        mask = builder.add(source, "invert_mask", {"mask": mask}, suffix="inverted")
    blur = int(source.number("blur_mask_pixels", 0))
    if blur:
        mask = builder.add(source, "blur_mask", {"mask": mask, "radius": blur}, suffix="blurred")
    if source.number("context_expand_pixels", 0):
        source.remark("the surroundings grow by its factor, not by pixels too")
    mode = source.text("mode", "ranged size")
    aspect = 0.0
    size: dict[str, Any]
    if mode == "forced size":
        width, height = int(source.number("force_width", 1024)), int(source.number("force_height", 1024))
        size, aspect = {"width": width, "height": height}, width / height
    elif mode == "ranged size":
        shortest = min(source.number("min_width", 512), source.number("min_height", 512))
        longest = max(source.number("max_width", 768), source.number("max_height", 768))
        size = {"guide_size": int(shortest), "guide": "crop", "longest": int(longest)}
    else:
        size = {"guide_size": 0}
        if source.number("rescale_factor", 1.0) != 1:
            source.remark("the cut-out keeps its size")
    padding = max(1, int(source.number("padding", 32)))
    return _cut(
        builder, source, image, mask, source.get("optional_context_mask"), factor=source.number("context_expand_factor", 1.0),
        aspect=aspect, holes=source.flag("fill_mask_holes", True), blend=int(source.number("blend_pixels", 16)),
        size={**size, "multiple_of": min(256, padding)},
    )  # fmt: skip


def _cut(
    builder: Builder, source: Source, image: Value, mask: Value, context: Value, *, factor: float, aspect: float, holes: bool,
    blend: int, size: Mapping[str, Any],
) -> list[Value]:  # fmt: skip
    """Cut out what a mask covers with its surroundings: what puts it back, the picture, and its mask."""
    around = mask
    if context is not None:
        around = builder.add(
            source, "compose_masks", {"destination": mask, "source": context, "operation": "add"}, suffix="around"
        )
    inputs = {
        "mask": around, "together": True, "crop_factor": max(1.0, factor), "aspect": aspect, "fill_holes": holes, "smallest": 0, "whole_if_empty": True,
    }  # fmt: skip
    things = builder.add(source, "segments_from_mask", inputs, suffix="thing")
    if context is not None:
        things = builder.add(source, "mask_segments", {"segments": things, "mask": mask}, suffix="masked")
    crops = builder.add(source, "crop_segments", {"image": image, "segments": things, **size}, suffix="crops")
    cut = builder.add(source, "batch_images", {"images": [crops], "resize": True})
    cut_mask = builder.add(source, "batch_masks", {"masks": [builder.ref(crops.node, "masks")]}, suffix="mask")
    change = {"segments": builder.ref(crops.node, "segments"), "dilation": 2 * blend, "blur": blend}
    soft = builder.add(source, "change_segment_masks", change, suffix="soft")
    return [Fused(_STITCH, {"image": image, "segments": soft}, (source.id,)), cut, cut_mask]


def _preresized(
    builder: Builder, source: Source, image: Value, mask: Value, context: Value
) -> tuple[Value, Value, Value]:
    mode = source.text("preresize_mode", "ensure minimum resolution")
    if mode not in _PRERESIZED:
        raise RefusedError(f"its preresize_mode {mode} has no native counterpart")
    end = "min" if "minimum" in mode else "max"
    edges = {letter: source.get(f"preresize_{end}_{edge}", 1024) for letter, edge in (("c", "width"), ("d", "height"))}
    scale = sized(source, builder, image, _PRERESIZED[mode], suffix="scale", **edges)
    image = builder.add(source, "resize", {"images": image, "scale": scale, "method": "lanczos"}, suffix="resized")
    size = builder.add(source, "image_size", {"images": image}, suffix="resized-size")
    wanted = {"width": builder.ref(size.node, "width"), "height": builder.ref(size.node, "height")}
    masks = [
        None if one is None else builder.add(source, "resize_mask", {"mask": one, **wanted}, suffix=name)
        for one, name in ((mask, "resized-mask"), (context, "resized-context"))
    ]
    return image, masks[0], masks[1]


def _extended(builder: Builder, source: Source, image: Value, mask: Value) -> tuple[Ref, Ref]:
    """Add margins that are to be painted, by shares of the edges."""
    margins: dict[str, Any] = {}
    for side, native, letter in (
        ("left", "left", "a"),
        ("right", "right", "a"),
        ("up", "top", "b"),
        ("down", "bottom", "b"),
    ):
        share = source.number(f"extend_{side}_factor", 1.0) - 1
        if share > 0:
            made = sized(source, builder, image, f"{letter} * {share!r}", suffix=native)
            margins[native] = builder.ref(made.node, "rounded")
    padded = builder.add(source, "pad_for_outpaint", {"images": image, **margins, "feather": 0}, suffix="extended")
    hole = builder.ref(padded.node, "mask")
    if mask is not None:
        grey = builder.add(source, "mask_to_image", {"mask": mask}, suffix="mask-picture")
        grey = builder.add(source, "pad_image", {"images": grey, **margins}, suffix="mask-padded")
        inner = builder.add(source, "mask_from_image", {"images": grey, "channel": "red"}, suffix="mask-again")
        hole = builder.add(
            source, "compose_masks", {"destination": hole, "source": inner, "operation": "add"}, suffix="hole"
        )
    return padded, hole


def _stitched(stitch: str) -> Make:
    """Return a function that puts a cut-out back."""

    def make(builder: Builder, source: Source) -> list[Value]:
        found = source.part(stitch, _STITCH)
        source.used.add("rescale_algorithm")
        each = builder.add(
            source, "rebatch_images", {"images": source.get("inpainted_image"), "batch_size": 1}, suffix="each"
        )
        return [builder.add(source, "paste_segments", {**found.parts, "images": each, "feather": 0}, ids=found.ids)]

    return make


def _remover(name: str, default: str) -> Make:
    """Return a function for a node that names a network that removes backgrounds."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used.add("providers")
        return [Fused(_REMOVER, _named(source.text(name, default) if name else default), (source.id,))]

    return make


def _named(told: str) -> dict[str, Any]:
    """Return the network's file, and how it reads colours, by the name that packs call it by."""
    name = re.split(r"[:\s]", told.strip())[0]
    model = name if name.endswith(".onnx") else f"{name}.onnx"
    return {"model": model, "centred": bool(re.search(r"isnet|rmbg", name, re.IGNORECASE))}


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


_FLORENCES = {
    f"florence-2-{size}{tuned}": f"florence-community/Florence-2-{size}{tuned}"
    for size in ("base", "large")
    for tuned in ("", "-ft")
}
"""The same weights as transformers reads them without code of their own."""
_ASKED = {
    "caption": "caption", "detailed_caption": "detailed_caption", "more_detailed_caption": "long_caption", "ocr": "read_text",
    "region_caption": "things", "dense_region_caption": "described_regions", "region_proposal": "regions",
    "caption_to_phrase_grounding": "find_phrases", "referring_expression_segmentation": "outline_phrase",
}  # fmt: skip
_WORDS = ("caption", "detailed_caption", "more_detailed_caption", "ocr")
"""Tasks whose answer has no boxes."""


def _florence(builder: Builder, source: Source) -> list[Value]:
    source.used |= {"precision", "attention", "convert_to_safetensors"}
    if source.get("lora") is not None:
        raise RefusedError("its LoRA has no native counterpart")
    name = source.text("model", "microsoft/Florence-2-base")
    known = _FLORENCES.get(name.lower().rpartition("/")[2], name)
    return [Fused(_DESCRIBER, {"model": known}, (source.id,))]


def _asked(builder: Builder, source: Source) -> list[Value]:
    """Florence2Run: words, and a mask of what they name."""
    model = source.part("florence2_model", _DESCRIBER)
    task = source.text("task", "caption")
    if task not in _ASKED:
        raise RefusedError(f"its task {task} goes with models that run code of their own")
    source.used |= {"keep_model_loaded", "seed", "fill_mask"}
    if source.flag("do_sample", True):
        source.remark("the likeliest answer is given, not a drawn one")
    if source.text("output_mask_select"):
        source.remark("the mask shows all that was found")
    image = source.get("image")
    inputs = {
        "image": image, "task": _ASKED[task], "words": source.get("text_input", ""), "tokens": source.get("max_new_tokens", 1024),
        "beams": source.get("num_beams", 3), **model.parts,
    }  # fmt: skip
    made = builder.add(source, "describe_image", inputs, ids=model.ids)
    things = builder.ref(made.node, "segments")
    mask = builder.add(source, "segments_to_mask", {"segments": things, "image": image}, suffix="mask")
    count = builder.add(source, "count_segments", {"segments": things}, suffix="count")
    if task not in _WORDS:
        source.remark("boxes are not drawn into the picture")
    return [image, mask, builder.ref(made.node, "text"), None, count]


_CUTS = (
    "invert_mask", "grow_mask", "blur_mask", "resize", "resize_mask", "image_size", "expression", "pad_for_outpaint", "pad_image", "mask_to_image",
    "mask_from_image", "compose_masks", "segments_from_mask", "mask_segments", "crop_segments", "batch_images", "batch_masks", "change_segment_masks",
)  # fmt: skip
_REMOVES = ("foreground_mask", "image_size", "solid_image", "composite_images", "invert_mask", "join_alpha")
_APART = (
    "by description: the cut-out stays inside the picture, and fits into the size instead of filling it at its borders"
)

RULES: tuple[AnyRule, ...] = (
    *(
        Made(type, (), _florence, says="part of the describe_image behind it: florence-community/Florence-2-…", pack=_FLORENCE)
        for type in ("DownloadAndLoadFlorence2Model", "Florence2ModelLoader")
    ),
    Made("Florence2Run", ("describe_image", "segments_to_mask", "count_segments"), _asked, says="describe_image, and segments_to_mask", pack=_FLORENCE),
    Made("LayeredDiffusionApply", ("apply_lora",), _layered, says="apply_lora", pack=_LAYERDIFFUSE),
    Made("LayeredDiffusionDecode", ("decode_transparency",), _transparent(rgba=False), says="decode_transparency", pack=_LAYERDIFFUSE),
    Made("LayeredDiffusionDecodeRGBA", ("decode_transparency", "invert_mask", "join_alpha"), _transparent(rgba=True), says="decode_transparency and join_alpha", pack=_LAYERDIFFUSE),
    Made("InpaintCropImproved", _CUTS, _improved, says="segments_from_mask and crop_segments", differs=_APART, pack=_CROP),
    Made("InpaintCrop", _CUTS, _first, says="segments_from_mask and crop_segments", differs=_APART, pack=_CROP),
    *(
        Made(type, ("rebatch_images", "paste_segments"), _stitched(stitch), says="paste_segments", differs="by description", pack=_CROP)
        for type, stitch in (("InpaintStitchImproved", "stitcher"), ("InpaintStitch", "stitch"))
    ),
    Made("RemBGSession+", (), _remover("model", "u2net"), says="part of the foreground_mask behind it", pack="ComfyUI_essentials"),
    Made("ImageRemoveBackground+", _REMOVES, _removed("rembg_session"), says="foreground_mask and composite_images", differs="by description", pack="ComfyUI_essentials"),
    Made("BRIA_RMBG_ModelLoader_Zho", (), _remover("", "RMBG-1.4"), says="part of the foreground_mask behind it", pack="ComfyUI-BRIA_AI-RMBG"),
    Made("BRIA_RMBG_Zho", _REMOVES, _removed("rmbgmodel", rgba=True), says="foreground_mask and join_alpha", differs="by description", pack="ComfyUI-BRIA_AI-RMBG"),
    *(
        Made(type, (*_REMOVES, "blur_mask", "grow_mask", "mask_to_image"), _rmbg(default), says="foreground_mask, and join_alpha or a colour behind",
             differs="by description", pack="ComfyUI-RMBG")
        for type, default in (("RMBG", "RMBG-2.0"), ("BiRefNetRMBG", "BiRefNet-general"))
    ),
    Made("Image Remove Background (rembg)", _REMOVES, _removed(rgba=True), says="foreground_mask and join_alpha", differs="by description", pack="rembg-comfyui-node"),
)  # fmt: skip
"""By ComfyUI type."""
