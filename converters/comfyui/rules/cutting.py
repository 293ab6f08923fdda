"""Inpainting in a cut-out: ComfyUI-Inpaint-CropAndStitch, by its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..building import Builder, Fused, Ref, RefusedError, Source, Value
from .images import sized
from .rule import AnyRule, Made, Make

_CROP = "ComfyUI-Inpaint-CropAndStitch"
_STITCH = "cut-out"
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


_CUTS = (
    "invert_mask", "grow_mask", "blur_mask", "resize", "resize_mask", "image_size", "expression", "pad_for_outpaint", "pad_image", "mask_to_image",
    "mask_from_image", "compose_masks", "segments_from_mask", "mask_segments", "crop_segments", "batch_images", "batch_masks", "change_segment_masks",
)  # fmt: skip
_APART = (
    "by description: the cut-out stays inside the picture, and fits into the size instead of filling it at its borders"
)

RULES: tuple[AnyRule, ...] = (
    Made("InpaintCropImproved", _CUTS, _improved, says="segments_from_mask and crop_segments", differs=_APART, pack=_CROP),
    Made("InpaintCrop", _CUTS, _first, says="segments_from_mask and crop_segments", differs=_APART, pack=_CROP),
    *(
        Made(type, ("rebatch_images", "paste_segments"), _stitched(stitch), says="paste_segments", differs="by description", pack=_CROP)
        for type, stitch in (("InpaintStitchImproved", "stitcher"), ("InpaintStitch", "stitch"))
    ),
)  # fmt: skip
"""By ComfyUI type."""
