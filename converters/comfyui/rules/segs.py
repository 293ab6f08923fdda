"""Detectors and what they find (SEGS): ComfyUI-Impact-Pack and -Subpack, comfyui_segment_anything.

By the packs' documentation. A detector is no node here but a part of the node that detects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..building import Builder, Fused, Ref, RefusedError, Source, Value
from .rule import AnyRule, Made, Make, Rule

IMPACT = "ComfyUI-Impact-Pack"
_SUBPACK, _ANYTHING = "ComfyUI-Impact-Subpack", "comfyui_segment_anything"
DETECTOR, SAM, DRAWN, HOOK = "detector", "Segment Anything model", "drawn segments", "detailer hook"

_SAM_SIZES = {"b": "facebook/sam-vit-base", "l": "facebook/sam-vit-large", "h": "facebook/sam-vit-huge"}
_DINOS = {"SwinT": "IDEA-Research/grounding-dino-tiny", "SwinB": "IDEA-Research/grounding-dino-base"}
_CLIPSEG = "CIDAS/clipseg-rd64-refined"
_MEASURES = {
    "area(=w*h)": "area", "width": "width", "height": "height", "x1": "left", "y1": "top", "x2": "right", "y2": "bottom",
    "confidence": "score",
}  # fmt: skip


def _part(kind: str, *outputs: Mapping[str, Any], **inputs: str) -> Make:
    """Return a function for a node that only names a model: one part for each output, with native inputs by name."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used.add("device_mode")
        given = {native: source.get(comfy) for native, comfy in inputs.items()}
        return [Fused(kind, {**given, **more}, (source.id,)) for more in outputs]

    return make


def segmenter(name: str) -> dict[str, str]:
    """Return Segment Anything's published size of a name, as transformers has it.

    Raises:
        RefusedError: It is a variant that transformers does not have.
    """
    size = re.match(r"(?:mobile_)?sam_vit_([blh])(?:_|\b)", name)
    if "hq" in name or "mobile" in name or name == "ESAM":
        raise RefusedError(f"{name} is a variant of Segment Anything that transformers does not have under this form")
    return {"segmenter": _SAM_SIZES[size[1]] if size else name}


def word_detector(name: str) -> dict[str, str]:
    """Return Grounding DINO's published size of a name, as transformers has it."""
    return {"detector": _DINOS["SwinB" if "SwinB" in name else "SwinT"]}


def _sam(builder: Builder, source: Source) -> list[Value]:
    source.used.add("device_mode")
    return [Fused(SAM, segmenter(source.text("model_name", "sam_vit_b_01ec64.pth")), (source.id,))]


def _dino(builder: Builder, source: Source) -> list[Value]:
    return [Fused(DETECTOR, word_detector(source.text("model_name", "GroundingDINO_SwinT_OGC (694MB)")), (source.id,))]


def _clipseg(builder: Builder, source: Source) -> list[Value]:
    if source.number("blur", 7.0):
        source.remark("how well places fit the words is not blurred")
    source.number("dilation_factor", 4)
    source.remark("the detector's own dilation is left out; that of the node that detects counts")
    more = {"detector": _CLIPSEG, "words": source.get("text", ""), "threshold": source.get("threshold", 0.4)}
    return [Fused(DETECTOR, more, (source.id,)), Fused(DETECTOR, {**more, "outline": True}, (source.id,))]


def segments_of(source: Source, name: str, *, controls: bool = False) -> tuple[Ref, Fused | None]:
    """Return an input of segments, and what was drawn of them where that travels with them.

    Args:
        source: The node.
        name: The input.
        controls: Whether the node has use for ControlNets that travel with them.

    Raises:
        RefusedError: It is something else, or missing, or carries ControlNets in vain.
    """
    value = source.get(name)
    if isinstance(value, Fused) and value.kind == DRAWN:
        if value.parts.get("controls") and not controls:
            raise RefusedError(
                "its segments carry ControlNets, which detailers alone read; apply them right before one"
            )
        return value.parts["segments"], value
    if isinstance(value, Ref):
        return value, None
    raise RefusedError(f"{name} is linked to no segments")


def detected(
    builder: Builder,
    source: Source,
    detector: Value,
    *,
    threshold: str = "threshold",
    dilation: str = "dilation",
    image: str = "image",
    suffix: str = "",
) -> Ref:
    """Detect with a detector that is a part; reads threshold, dilation, crop factor and smallest size of the node.

    Raises:
        RefusedError: It is no detector.
    """
    if not isinstance(detector, Fused) or detector.kind != DETECTOR:
        raise RefusedError("its detector comes from a node that has no native counterpart")
    crop = next((name for name in ("crop_factor", "bbox_crop_factor") if name in source.inputs), "crop_factor")
    inputs = {
        "image": source.get(image),
        "threshold": source.get(threshold, 0.5),
        "dilation": source.get(dilation, 0),
        "crop_factor": source.get(crop, 3.0),
        "smallest": source.get("drop_size", 10),
        **detector.parts,
    }
    return builder.add(source, "detect_segments", inputs, suffix=suffix, ids=detector.ids)


def outlined(
    builder: Builder,
    source: Source,
    segments: Ref,
    model: Value,
    names: Mapping[str, str],
    *,
    inside: bool,
    suffix: str = "",
) -> Ref:
    """Outline segments by a Segment Anything model that is a part; ``names`` are the node's inputs by native name."""
    if not isinstance(model, Fused) or model.kind != SAM:
        raise RefusedError("its Segment Anything model comes from a node that has no native counterpart")
    hint = source.text("sam_detection_hint" if "sam_detection_hint" in source.inputs else "detection_hint", "center-1")
    if hint not in ("center-1", "none"):
        source.remark(f"the hint {hint} is taken as the middle of the box")
    source.used |= {
        "sam_mask_hint_threshold",
        "sam_mask_hint_use_negative",
        "mask_hint_threshold",
        "mask_hint_use_negative",
    }
    inputs = {
        "segments": segments,
        "image": source.get("image"),
        "points": hint != "none",
        "inside": inside,
        **{native: source.get(comfy) for native, comfy in names.items()},
        **model.parts,
    }
    return builder.add(source, "outline_segments", inputs, suffix=suffix, ids=model.ids)


def refined(
    builder: Builder,
    source: Source,
    segments: Ref,
    *,
    sam: Value,
    outline: Value,
    names: Mapping[str, str],
    threshold: str,
    dilation: str,
) -> Ref:
    """Keep of what was detected what Segment Anything, else a second detector, outlines there."""
    if isinstance(sam, Fused):
        return outlined(builder, source, segments, sam, names, inside=True, suffix="outline")
    if not isinstance(outline, Fused):
        return segments
    second = detected(builder, source, outline, threshold=threshold, dilation=dilation, suffix="second")
    mask = builder.add(
        source, "segments_to_mask", {"segments": second, "image": source.get("image")}, suffix="second-mask"
    )
    return builder.add(source, "mask_segments", {"segments": segments, "mask": mask}, suffix="both")


def hooked(builder: Builder, source: Source, segments: Ref, told: Value = None) -> Ref:
    """Apply the filters of a node's hook, else of that of its pipe."""
    hook = source.get("detailer_hook") or told
    for number, choice in enumerate(
        hook.parts.get("choices", ()) if isinstance(hook, Fused) and hook.kind == HOOK else ()
    ):
        segments = builder.add(source, "choose_segments", {"segments": segments, **choice}, suffix=f"hook-{number}")
    return segments


def _detect(detector: str) -> Make:
    """Return a function for BBOX Detector (SEGS) and its kin."""

    def make(builder: Builder, source: Source) -> list[Value]:
        found = detected(builder, source, source.get(detector))
        labels = source.text("labels", "all").strip()
        if labels and labels != "all":
            found = builder.add(source, "choose_segments", {"segments": found, "labels": labels}, suffix="labels")
        return [hooked(builder, source, found)]

    return make


def _detect_mask(detector: str) -> Make:
    """Return a function for the detectors that give one mask."""

    def make(builder: Builder, source: Source) -> list[Value]:
        found = detected(builder, source, source.get(detector), suffix="found")
        return [builder.add(source, "segments_to_mask", {"segments": found, "image": source.get("image")})]

    return make


def _simple(pipe: bool) -> Make:
    """Return a function for Simple Detector (SEGS)."""

    def make(builder: Builder, source: Source) -> list[Value]:
        parts = source.fused("detailer_pipe", "detailer pipe") if pipe else None
        get = parts.parts.get if parts is not None else source.get
        found = detected(builder, source, get("bbox_detector"), threshold="bbox_threshold", dilation="bbox_dilation")
        source.used |= {"sub_threshold", "sub_dilation", "sub_bbox_expansion", "sam_mask_hint_threshold"}
        found = refined(
            builder, source, found, sam=get("sam_model_opt"), outline=get("segm_detector_opt"),
            names={"threshold": "sub_threshold", "dilation": "sub_dilation", "expansion": "sub_bbox_expansion"},
            threshold="sub_threshold", dilation="sub_dilation",
        )  # fmt: skip
        if source.number("post_dilation", 0):
            found = builder.add(
                source,
                "change_segment_masks",
                {"segments": found, "dilation": source.get("post_dilation")},
                suffix="grown",
            )
        return [hooked(builder, source, found)]

    return make


def _sam_mask(builder: Builder, source: Source) -> list[Value]:
    """SAMDetector (combined)."""
    names = {"threshold": "threshold", "dilation": "dilation", "expansion": "bbox_expansion"}
    segments, _ = segments_of(source, "segs")
    found = outlined(builder, source, segments, source.get("sam_model"), names, inside=False, suffix="outline")
    return [builder.add(source, "segments_to_mask", {"segments": found, "image": source.get("image")}), None]


def _worded(builder: Builder, source: Source) -> list[Value]:
    """GroundingDinoSAMSegment: what words say, outlined; the picture with that as alpha, and the mask."""
    dino = source.fused("grounding_dino_model", DETECTOR)
    sam = source.fused("sam_model", SAM)
    if dino is None or sam is None:
        raise RefusedError("its two models are not linked")
    image = source.get("image")
    mask = outlined_words(builder, source, image, {**dino.parts, **sam.parts}, (*dino.ids, *sam.ids))
    return [behind_black(builder, source, image, mask), mask]


def outlined_words(
    builder: Builder, source: Source, image: Value, models: Mapping[str, Any], ids: tuple[str, ...] = ()
) -> Ref:
    """Return a mask of what the node's prompt says, found by Grounding DINO and outlined by Segment Anything."""
    told = {"image": image, "words": source.get("prompt", ""), "threshold": source.get("threshold", 0.3)}
    detects = {"crop_factor": 1.0, "smallest": 0, "detector": models["detector"]}
    found = builder.add(source, "detect_segments", {**told, **detects}, suffix="found", ids=ids)
    inputs = {"segments": found, "image": image, "points": False, "threshold": 0.0, "segmenter": models["segmenter"]}
    outline = builder.add(source, "outline_segments", inputs, suffix="outline", ids=ids)
    return builder.add(source, "segments_to_mask", {"segments": outline, "image": image})


def behind_black(builder: Builder, source: Source, image: Value, mask: Value, color: str = "#000000") -> Ref:
    """Return a picture that has one colour outside a mask."""
    size = builder.add(source, "image_size", {"images": image}, suffix="size")
    edges = {"width": builder.ref(size.node, "width"), "height": builder.ref(size.node, "height")}
    black = builder.add(source, "solid_image", {**edges, "color": color}, suffix="black")
    return builder.add(source, "composite_images", {"destination": black, "source": image, "mask": mask}, suffix="cut")


def _chosen(builder: Builder, source: Source) -> list[Value]:
    """The filters of SEGS."""
    segments, _ = segments_of(source, "segs")
    made = builder.add(source, "choose_segments", {"segments": segments, **_choice(source)})
    return [made, builder.ref(made.node, "rest")]


def _choice(source: Source) -> dict[str, Any]:
    """Return what a filter chooses, by its widgets."""
    if "labels" in source.inputs:
        source.used.add("preset")
        labels = source.text("labels", "all")
        return {} if labels == "all" else {"labels": labels.replace("\n", ",")}
    target = source.text("target", "area(=w*h)")
    if target not in _MEASURES:
        raise RefusedError(f"its target {target} has no native counterpart")
    if "min_value" in source.inputs:
        return {
            "by": _MEASURES[target], "minimum": source.get("min_value"), "maximum": source.get("max_value"),
            "outside": not source.flag("mode", True),
        }  # fmt: skip
    return {
        "by": _MEASURES[target], "order": "descending" if source.flag("order", True) else "ascending",
        "skip": source.get("take_start", 0), "most": source.get("take_count", 1),
    }  # fmt: skip


def _hook(builder: Builder, source: Source) -> list[Value]:
    """A filter as a hook of a detailer."""
    return [Fused(HOOK, {"choices": [_choice(source)]}, (source.id,))]


def _denoise_hook(builder: Builder, source: Source) -> list[Value]:
    if source.text("schedule_for_cycle", "simple") != "simple":
        raise RefusedError("its schedule has no native counterpart")
    return [Fused(HOOK, {"denoise": source.number("target_denoise", 0.3)}, (source.id,))]


def _shown_hook(builder: Builder, source: Source) -> list[Value]:
    source.used.add("quality")
    return [Fused(HOOK, {}, (source.id,)), None]


def _hooks(builder: Builder, source: Source) -> list[Value]:
    hooks = [hook for name in ("hook1", "hook2") if (hook := source.fused(name, HOOK)) is not None]
    parts: dict[str, Any] = {"choices": [choice for hook in hooks for choice in hook.parts.get("choices", ())]}
    for hook in hooks:
        parts |= {name: value for name, value in hook.parts.items() if name != "choices"}
    return [Fused(HOOK, parts, (source.id, *(id for hook in hooks for id in hook.ids)))]


def _joined(builder: Builder, source: Source) -> list[Value]:
    names = source.numbered("segs")
    return [builder.add(source, "join_segments", {"segments": [segments_of(source, name)[0] for name in names]})]


def _with_segments(operation: str) -> Make:
    """Return a function that keeps of segments what others cover, or not."""

    def make(builder: Builder, source: Source) -> list[Value]:
        base, other = segments_of(source, "base_segs")[0], segments_of(source, "mask_segs")[0]
        mask = builder.add(source, "segments_to_mask", {"segments": other}, suffix="mask")
        return [builder.add(source, "mask_segments", {"segments": base, "mask": mask, "operation": operation})]

    return make


def _with_mask(builder: Builder, source: Source) -> list[Value]:
    inputs = {"segments": segments_of(source, "segs")[0], "mask": source.get("mask") or source.get("masks")}
    return [builder.add(source, "mask_segments", inputs)]


def _mask(builder: Builder, source: Source) -> list[Value]:
    segments, _ = segments_of(source, "segs")
    return [builder.add(source, "segments_to_mask", {"segments": segments})]


def _changed(native: str, comfy: str, default: int) -> Make:
    def make(builder: Builder, source: Source) -> list[Value]:
        source.used.add("sigma")
        inputs = {"segments": segments_of(source, "segs")[0], native: source.get(comfy, default)}
        return [builder.add(source, "change_segment_masks", inputs)]

    return make


def _bare(builder: Builder, source: Source) -> list[Value]:
    """ControlNetClear (SEGS), and Remove Image from SEGS: the segments alone."""
    return [segments_of(source, "segs", controls=True)[0]]


def _none(builder: Builder, source: Source) -> list[Value]:
    """EmptySEGS."""
    mask = builder.add(source, "solid_mask", {"width": 8, "height": 8, "value": 0.0}, suffix="mask")
    return [builder.add(source, "segments_from_mask", {"mask": mask})]


def _merged(builder: Builder, source: Source) -> list[Value]:
    """SEGS Merge: one thing of all."""
    mask = builder.add(source, "segments_to_mask", {"segments": segments_of(source, "segs")[0]}, suffix="mask")
    inputs = {"mask": mask, "together": True, "crop_factor": 1.0, "smallest": 0}
    return [builder.add(source, "segments_from_mask", inputs)]


def _counted(builder: Builder, source: Source) -> list[Value]:
    return [builder.add(source, "count_segments", {"segments": segments_of(source, "segs")[0]})]


def _any(builder: Builder, source: Source) -> list[Value]:
    """ImpactIsNotEmptySEGS."""
    count = builder.add(source, "count_segments", {"segments": segments_of(source, "segs")[0]}, suffix="count")
    made = builder.add(source, "expression", {"expression": "a > 0", "a": count})
    return [builder.ref(made.node, "truth")]


def _tiles(builder: Builder, source: Source) -> list[Value]:
    """Make Tile SEGS: squares of an edge, with surroundings."""
    edge, factor = int(source.number("bbox_size", 512)), source.number("crop_factor", 3.0)
    if source.number("mask_irregularity", 0):
        source.remark("the masks of tiles are rectangles")
    source.used.add("irregular_mask_mode")
    inputs = {
        "image": source.get("images"), "tile_width": edge, "tile_height": edge,
        "overlap": source.get("min_overlap", 5), "margin": round(edge * (factor - 1) / 2),
    }  # fmt: skip
    made = builder.add(source, "tile_segments", inputs)
    for name, operation in (("filter_in_segs_opt", "keep"), ("filter_out_segs_opt", "remove")):
        if source.get(name) is not None:
            other, _ = segments_of(source, name)
            grown = {"segments": other, "dilation": source.get("filter_segs_dilation", 30)}
            other = builder.add(source, "change_segment_masks", grown, suffix=f"{operation}-grown")
            mask = builder.add(source, "segments_to_mask", {"segments": other}, suffix=f"{operation}-mask")
            both: dict[str, Any] = {"segments": made, "mask": mask, "operation": operation}
            made = builder.add(source, "mask_segments", both, suffix=operation)
    source.used.add("filter_segs_dilation")
    return [made]


def _cut(output: str) -> Make:
    """Return a function that gives the cut-outs of segments, or what was drawn of them."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= {"alpha_mode", "min_alpha"}
        segments, drawn = segments_of(source, "segs")
        if drawn is not None and "images" in drawn.parts:
            source.used.add("fallback_image_opt")
            pictures: Value = drawn.parts["images"]
        else:
            inputs = {
                "image": source.get("fallback_image_opt"),
                "segments": segments,
                "guide_size": 0,
                "multiple_of": 1,
            }
            pictures = builder.add(source, "crop_segments", inputs, suffix="crops")
        if output == "preview":
            builder.add(source, "preview", {"images": pictures, "max_edge": 2048})
        return [pictures]

    return make


_AS_DETECTED = "by description: what is cut out, and masks, may differ by a pixel"

RULES: tuple[AnyRule, ...] = (
    Made("UltralyticsDetectorProvider", (), _part(DETECTOR, {}, {"outline": True}, detector="model_name"), says="part of the detect_segments behind it: its ONNX file, never a pickle", pack=_SUBPACK),
    Made("ONNXDetectorProvider", (), _part(DETECTOR, {}, detector="model_name"), says="part of the detect_segments behind it", pack=IMPACT),
    Made("CLIPSegDetectorProvider", (), _clipseg, says="part of the detect_segments behind it: CIDAS/clipseg-rd64-refined", pack=IMPACT),
    Made("SAMLoader", (), _sam, says="part of the outline_segments behind it: facebook/sam-vit-…", pack=IMPACT),
    Made("SAMModelLoader (segment anything)", (), _sam, says="part of the outline_segments behind it: facebook/sam-vit-…", pack=_ANYTHING),
    Made("GroundingDinoModelLoader (segment anything)", (), _dino, says="part of the detect_segments behind it: IDEA-Research/grounding-dino-…", pack=_ANYTHING),
    Made("GroundingDinoSAMSegment (segment anything)", ("detect_segments", "outline_segments", "segments_to_mask", "image_size", "solid_image", "composite_images"), _worded,
         says="detect_segments, outline_segments and segments_to_mask", differs="by description", pack=_ANYTHING),
    *(
        Made(type, ("detect_segments", "choose_segments"), _detect(detector), says="detect_segments, and choose_segments for its labels", differs=_AS_DETECTED, pack=IMPACT)
        for type, detector in (("BboxDetectorSEGS", "bbox_detector"), ("SegmDetectorSEGS", "segm_detector"), ("ONNXDetectorSEGS", "onnx_detector"))
    ),
    *(
        Made(type, ("detect_segments", "segments_to_mask"), _detect_mask(detector), says="detect_segments and segments_to_mask", differs=_AS_DETECTED, pack=IMPACT)
        for type, detector in (("BboxDetectorCombined_v2", "bbox_detector"), ("SegmDetectorCombined_v2", "segm_detector"))
    ),
    *(
        Made(type, ("detect_segments", "outline_segments", "segments_to_mask", "mask_segments", "change_segment_masks", "choose_segments"), _simple(pipe),
             says="detect_segments, and outline_segments or mask_segments", differs=_AS_DETECTED, pack=IMPACT)
        for type, pipe in (("ImpactSimpleDetectorSEGS", False), ("ImpactSimpleDetectorSEGSPipe", True))
    ),
    Made("SAMDetectorCombined", ("outline_segments", "segments_to_mask"), _sam_mask, says="outline_segments and segments_to_mask", differs="by description", pack=IMPACT),
    Made("SAMDetectorSegmented", ("outline_segments", "segments_to_mask"), _sam_mask, says="outline_segments and segments_to_mask; only the combined mask", differs="by description", pack=IMPACT),
    Rule("MaskToSEGS", "segments_from_mask", "mask combined:together crop_factor bbox_fill:fill_box drop_size:smallest contour_fill:fill_holes",
         defaults={"crop_factor": 3.0, "drop_size": 10}, differs=_AS_DETECTED, pack=IMPACT, back=False),
    Made("SegsToCombinedMask", ("segments_to_mask",), _mask, says="segments_to_mask", pack=IMPACT),
    *(
        Made(type, ("choose_segments",), _chosen, says="choose_segments", pack=IMPACT)
        for type in ("ImpactSEGSLabelFilter", "ImpactSEGSOrderedFilter", "ImpactSEGSRangeFilter")
    ),
    *(
        Made(type, (), _hook, says="a choose_segments before the cut-outs are drawn", pack=IMPACT)
        for type in ("SEGSOrderedFilterDetailerHookProvider", "SEGSRangeFilterDetailerHookProvider", "SEGSLabelFilterDetailerHookProvider")
    ),
    Made("DenoiseSchedulerDetailerHookProvider", (), _denoise_hook, says="another strength in each cycle", differs="by description", pack=IMPACT),
    Made("PreviewDetailerHookProvider", (), _shown_hook, says="nothing: it changes no picture", pack=IMPACT),
    Made("DetailerHookCombine", (), _hooks, says="both", pack=IMPACT),
    Made("ImpactSEGSConcat", ("join_segments",), _joined, says="join_segments", pack=IMPACT),
    Made("BitwiseAndMaskForEach", ("segments_to_mask", "mask_segments"), _with_segments("keep"), says="segments_to_mask and mask_segments", pack=IMPACT),
    Made("SubtractMaskForEach", ("segments_to_mask", "mask_segments"), _with_segments("remove"), says="segments_to_mask and mask_segments", pack=IMPACT),
    Made("ImpactSegsAndMask", ("mask_segments",), _with_mask, says="mask_segments", pack=IMPACT),
    Made("ImpactSegsAndMaskForEach", ("mask_segments",), _with_mask, says="mask_segments", differs="every thing meets the mask of its own picture", pack=IMPACT),
    Made("ImpactDilateMaskInSEGS", ("change_segment_masks",), _changed("dilation", "dilation", 10), says="change_segment_masks", pack=IMPACT),
    Made("ImpactGaussianBlurMaskInSEGS", ("change_segment_masks",), _changed("blur", "kernel_size", 10), says="change_segment_masks", differs="its sigma is a third of the radius", pack=IMPACT),
    *(Made(type, (), _bare, says="nothing: the segments alone", pack=IMPACT) for type in ("ImpactControlNetClearSEGS", "RemoveImageFromSEGS")),
    Made("EmptySegs", ("solid_mask", "segments_from_mask"), _none, says="segments_from_mask of an empty mask", pack=IMPACT),
    Made("ImpactSEGSMerge", ("segments_to_mask", "segments_from_mask"), _merged, says="segments_to_mask and segments_from_mask", differs=_AS_DETECTED, pack=IMPACT),
    Made("ImpactCount_Elts_in_SEGS", ("count_segments",), _counted, says="count_segments", pack=IMPACT),
    Made("ImpactIsNotEmptySEGS", ("count_segments", "expression"), _any, says="count_segments and expression", pack=IMPACT),
    Made("ImpactMakeTileSEGS", ("tile_segments", "change_segment_masks", "segments_to_mask", "mask_segments"), _tiles, says="tile_segments", differs="by description: where tiles lie", pack=IMPACT),
    Made("SEGSPreview", ("crop_segments", "preview"), _cut("preview"), says="crop_segments and preview", pack=IMPACT),
    Made("SEGSToImageList", ("crop_segments",), _cut("list"), says="crop_segments", pack=IMPACT),
)  # fmt: skip
"""By ComfyUI type."""
