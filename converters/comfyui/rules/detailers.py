"""Detailers: what was found is cut out, drawn anew larger, and put back. Impact Pack and UltimateSDUpscale.

By the packs' documentation. Every cut-out is drawn from the picture as it came: nodes run once for each of a sequence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..building import Builder, Const, Fused, Lost, Ref, RefusedError, Source, Value
from .bundles import PIPE
from .common import BATCH_NOISE
from .images import scaled_edges
from .pack_prompts import with_loras
from .rule import AnyRule, Made, Make
from .segs import DRAWN, HOOK, IMPACT, detected, hooked, refined, segments_of

DETAILER = "detailer pipe"
_ULTIMATE = "ComfyUI_UltimateSDUpscale"
REFINER = ("refiner_model", "refiner_clip", "refiner_positive", "refiner_negative")
_DETECTORS = ("bbox_detector", "sam_model_opt", "segm_detector_opt", "detailer_hook")
_TILE = 512
_APART = "by description: every cut-out is drawn from the picture as it came, not as those before it left it"
_SINGLE = re.compile(r"\[(?:ASC|DSC|ASC-SIZE|DSC-SIZE|RND|SEP(?::[^\]]*)?|SKIP|STOP|LAB|ALL)\]")
"""Marks of prompts for single cut-outs."""
_DRAWN = re.compile(r"__[^_\s][^\s]*?__|\{[^{}]*\|[^{}]*\}")
"""Wildcards."""


@dataclass(frozen=True)
class _Drawn:
    """What was drawn of segments.

    Attributes:
        crops: The node that cut them out.
        images: A picture of each.
    """

    crops: str
    images: Ref

    def segments(self, builder: Builder) -> Ref:
        """Those that were drawn."""
        return builder.ref(self.crops, "segments")


def _draw(
    builder: Builder,
    source: Source,
    image: Value,
    segments: Ref,
    parts: Mapping[str, Value],
    *,
    controls: tuple[Mapping[str, Any], ...] = (),
    masked: str = "noise_mask",
) -> _Drawn:
    """Cut out, encode, sample and decode, by the settings that all detailers have.

    Args:
        builder: Takes the nodes.
        source: The detailer.
        image: The picture.
        segments: What to draw.
        parts: Model, clip, vae, positive, negative, and those of a refiner.
        controls: ControlNets that read the cut-outs of pictures of their own.
        masked: The input that says whether only what the masks cover changes.
    """
    crops = builder.add(
        source, "crop_segments", {"image": image, "segments": segments, **_guide(source)}, suffix="crops"
    )
    model, positive, negative = _prompted(builder, source, parts)
    sides: list[Value] = [positive, negative]
    masks = builder.ref(crops.node, "masks")
    feather = int(source.number("noise_mask_feather", 0))
    if feather > 0:
        masks = builder.add(source, "blur_mask", {"mask": masks, "radius": feather}, suffix="soft")
        model = builder.add(source, "differential_diffusion", {"model": model}, suffix="soft-model")
    for number, control in enumerate(controls):
        again = {
            **_guide(source),
            "image": control["image"],
            "segments": builder.ref(crops.node, "segments"),
            "skip_large": False,
        }
        hint = builder.add(source, "crop_segments", again, suffix=f"hint-{number}")
        inputs = {"positive": sides[0], "negative": sides[1], **control, "image": hint}
        made = builder.add(source, "apply_control_net", inputs, suffix=f"control-{number}")
        sides = [made, builder.ref(made.node, "negative")]
    tile = _TILE if source.flag("tiled_encode") else None
    only = source.flag(masked, True)
    if source.flag("inpaint_model"):
        inputs = {
            "positive": sides[0],
            "negative": sides[1],
            "vae": parts.get("vae"),
            "images": crops,
            "mask": masks,
            "noise_mask": only,
        }
        made = builder.add(source, "inpaint_conditioning", inputs, suffix="inpaint")
        sides = [made, builder.ref(made.node, "negative")]
        latent = builder.ref(made.node, "latent")
    else:
        latent = builder.add(
            source, "encode_image", {"vae": parts.get("vae"), "images": crops, "tile": tile}, suffix="encode"
        )
        if only:
            latent = builder.add(source, "set_noise_mask", {"latent": latent, "mask": masks}, suffix="mask")
    latent = _sample(builder, source, crops, model, sides, latent, parts)
    tile = _TILE if source.flag("tiled_decode") else None
    images = builder.add(
        source, "vae_decode", {"vae": parts.get("vae"), "latent": latent, "tile": tile}, suffix="decode"
    )
    return _Drawn(crops.node, images)


def _guide(source: Source) -> dict[str, Any]:
    by_box = source.literal("guide_size_for", True)
    return {
        "guide_size": int(source.number("guide_size", 512)),
        "guide": "box" if by_box is True or by_box == "bbox" else "crop",
        "longest": int(source.number("max_size", 1024)),
        "skip_large": not source.flag("force_inpaint", True),
    }


def _prompted(builder: Builder, source: Source, parts: Mapping[str, Value]) -> tuple[Value, Value, Value]:
    """Return model and prompts; the words of the detailer's own box stand for the positive prompt, with their LoRAs."""
    model, positive = parts.get("model"), parts.get("positive")
    told = parts.get("wildcard") or source.get("wildcard", "")
    words = told.value if isinstance(told, Const) else told
    if isinstance(words, Ref):
        words = words.constant if isinstance(words.constant, str) else words
    if isinstance(words, str) and words.strip():
        if _SINGLE.search(words):
            raise RefusedError(
                "its prompts for single cut-outs ([SEP], [LAB], [ASC] and others) have no native counterpart"
            )
        if not isinstance(parts.get("clip"), Ref):
            raise RefusedError("its wildcard prompt needs a text encoder, which is not linked")
        if _DRAWN.search(words):
            source.remark("wildcards in its words stay as they are")
        behind = words.lstrip().startswith("[CONCAT]")
        text, model, clip = with_loras(builder, source, words.replace("[CONCAT]", ""), model, parts.get("clip"))
        if text.strip():
            told_here = builder.add(source, "encode_prompt", {"text": text, "text_encoder": clip}, suffix="prompt")
            both = {"conditioning": positive, "other": told_here}
            positive = builder.add(source, "concat_conditioning", both, suffix="concat") if behind else told_here
    elif isinstance(words, Ref):
        positive = builder.add(
            source, "encode_prompt", {"text": words, "text_encoder": parts.get("clip")}, suffix="prompt"
        )
    return model, positive, parts.get("negative")


def no_schedule(source: Source) -> None:
    """Refuse a function for the schedule, which some nodes of the pack make."""
    if source.get("scheduler_func_opt") is not None:
        raise RefusedError("its own function for the schedule has no native counterpart")


def _sample(
    builder: Builder,
    source: Source,
    crops: Ref,
    model: Value,
    sides: list[Value],
    latent: Ref,
    parts: Mapping[str, Value],
) -> Ref:
    """Sample all cut-outs, each by a seed of its own, as often as the cycle says."""
    no_schedule(source)
    seeds = builder.add(source, "seeds_for", {"items": crops, "seed": source.get("seed", 0)}, suffix="seeds")
    cycles = max(1, int(source.number("cycle", 1)))
    hook = source.get("detailer_hook") or parts.get("detailer_hook")
    ends = hook.parts.get("denoise") if isinstance(hook, Fused) and hook.kind == HOOK else None
    steps = {
        "steps": source.get("steps", 20), "guidance_scale": source.get("cfg", 8.0), "sampler": source.get("sampler_name", "euler"),
        "schedule": source.get("scheduler", "normal"),
    }  # fmt: skip
    ratio = source.number("refiner_ratio", 0.2) if isinstance(parts.get("refiner_model"), Ref) else 0.0
    if cycles > 1:
        source.remark("each cycle begins with the same noise")
    for cycle in range(cycles):
        strength: Any = source.get("denoise", 0.5)
        if ends is not None and cycles > 1:
            begins = source.number("denoise", 0.5)
            strength = begins + (ends - begins) * cycle / (cycles - 1)
        inputs = {
            "model": model,
            "positive": sides[0],
            "negative": sides[1],
            "latent": latent,
            "seed": seeds,
            "strength": strength,
            **steps,
            **BATCH_NOISE,
        }
        if not ratio:
            latent = builder.add(source, "sample", inputs, suffix=f"sample-{cycle}")
            continue
        change = round(int(source.number("steps", 20)) * (1 - ratio))
        first = {**inputs, "end_step": change, "leftover_noise": True}
        latent = builder.add(source, "sample", first, suffix=f"sample-{cycle}")
        told = {side: parts.get(f"refiner_{side}") or inputs[side] for side in ("model", "positive", "negative")}
        second = {**inputs, **told, "latent": latent, "start_step": change, "add_noise": False}
        latent = builder.add(source, "sample", second, suffix=f"refine-{cycle}")
    return latent


def _paste(builder: Builder, source: Source, image: Value, drawn: _Drawn, feather: Any) -> Ref:
    inputs = {"image": image, "segments": drawn.segments(builder), "images": drawn.images, "feather": feather}
    return builder.add(source, "paste_segments", inputs)


def _parts(source: Source, *, pipe: str = "", kind: str = "") -> dict[str, Value]:
    """Return what a detailer draws with: from its pipe, or its own inputs."""
    if pipe:
        found = source.part(pipe, kind)
        parts = dict(found.parts)
        refiner = source.fused("refiner_basic_pipe_opt", "pipe")
        if refiner is not None:
            parts |= {f"refiner_{name}": value for name, value in refiner.parts.items()}
        return parts
    return {name: source.get(name) for name in (*PIPE, *_DETECTORS, "wildcard")}


def _faces(pipe: bool) -> Make:
    """Return a function for FaceDetailer: what a detector finds, drawn anew."""

    def make(builder: Builder, source: Source) -> list[Value]:
        parts = _parts(source, pipe="detailer_pipe", kind=DETAILER) if pipe else _parts(source)
        image = source.get("image")
        found = detected(
            builder,
            source,
            parts.get("bbox_detector"),
            threshold="bbox_threshold",
            dilation="bbox_dilation",
            suffix="found",
        )
        source.used |= {
            "sam_detection_hint",
            "sam_dilation",
            "sam_threshold",
            "sam_bbox_expansion",
            "sam_mask_hint_threshold",
            "sam_mask_hint_use_negative",
        }
        found = refined(
            builder, source, found, sam=parts.get("sam_model_opt"), outline=parts.get("segm_detector_opt"),
            names={"threshold": "sam_threshold", "dilation": "sam_dilation", "expansion": "sam_bbox_expansion"},
            threshold="bbox_threshold", dilation="sam_dilation",
        )  # fmt: skip
        found = hooked(builder, source, found, parts.get("detailer_hook"))
        drawn = _draw(builder, source, image, found, parts)
        made = _paste(builder, source, image, drawn, source.get("feather", 5))
        mask = builder.add(source, "segments_to_mask", {"segments": found, "image": image}, suffix="found-mask")
        own = Fused(DETAILER, {name: value for name, value in parts.items() if value is not None}, (source.id,))
        return [made, drawn.images, drawn.images, mask, own, None]

    return make


def _each(pipe: bool, outputs: str = "image") -> Make:
    """Return a function for Detailer (SEGS): segments, drawn anew."""

    def make(builder: Builder, source: Source) -> list[Value]:
        parts = _parts(source, pipe="basic_pipe", kind="pipe") if pipe else _parts(source)
        segments, before = segments_of(source, "segs", controls=True)
        controls = tuple(before.parts.get("controls", ())) if before is not None else ()
        image = source.get("image")
        drawn = _draw(builder, source, image, hooked(builder, source, segments), parts, controls=controls)
        made = _paste(builder, source, image, drawn, source.get("feather", 5))
        own = Fused(DRAWN, {"segments": drawn.segments(builder), "images": drawn.images}, (source.id,))
        told: dict[str, Value] = {
            "image": made, "segs": own, "pipe": source.get("basic_pipe") if pipe else None, "crops": builder.ref(drawn.crops),
            "drawn": drawn.images, "-": None,
        }  # fmt: skip
        return [told[output] for output in outputs.split()]

    return make


def _only_drawn(builder: Builder, source: Source) -> list[Value]:
    """SEGSDetailer: drawn, and not put back."""
    parts = _parts(source, pipe="basic_pipe", kind="pipe")
    if source.number("batch_size", 1) != 1:
        source.remark("one picture is drawn of each thing, not several to choose from")
    segments, before = segments_of(source, "segs", controls=True)
    controls = tuple(before.parts.get("controls", ())) if before is not None else ()
    drawn = _draw(builder, source, source.get("image"), segments, parts, controls=controls)
    return [Fused(DRAWN, {"segments": drawn.segments(builder), "images": drawn.images}, (source.id,)), None]


def _pasted(builder: Builder, source: Source) -> list[Value]:
    """SEGSPaste: what was drawn, or another picture's cut-outs, put back."""
    segments, drawn = segments_of(source, "segs")
    if source.number("alpha", 255) != 255:
        source.remark("it is put back opaque")
    other = source.get("ref_image_opt")
    if other is not None:
        inputs = {"image": other, "segments": segments, "guide_size": 0, "multiple_of": 1}
        images: Value = builder.add(source, "crop_segments", inputs, suffix="crops")
    elif drawn is not None and "images" in drawn.parts:
        images = drawn.parts["images"]
    else:
        raise RefusedError("nothing was drawn of its segments, and no other picture is linked")
    back = {"image": source.get("image"), "segments": segments, "images": images, "feather": source.get("feather", 5)}
    return [builder.add(source, "paste_segments", back)]


def _controlled(builder: Builder, source: Source) -> list[Value]:
    """ControlNetApply (SEGS): a ControlNet for the cut-outs, with a picture of its own."""
    segments, before = segments_of(source, "segs", controls=True)
    if source.get("segs_preprocessor") is not None or source.get("control_image") is None:
        raise RefusedError("it draws its hints from the cut-outs; give it a drawn control_image instead")
    control = {
        "control_net": source.get("control_net"), "image": source.get("control_image"), "strength": source.get("strength", 1.0),
        "start": source.get("start_percent", 0.0), "end": source.get("end_percent", 1.0), "vae": source.get("vae"),
    }  # fmt: skip
    parts: dict[str, Any] = dict(before.parts) if before is not None else {"segments": segments}
    return [Fused(DRAWN, {**parts, "controls": (*parts.get("controls", ()), control)}, (source.id,))]


def _mask_detailer(builder: Builder, source: Source) -> list[Value]:
    """MaskDetailer (pipe): what a mask covers, drawn anew."""
    parts = _parts(source, pipe="basic_pipe", kind="pipe")
    image = source.get("image")
    if source.number("batch_size", 1) != 1:
        source.remark("one picture is drawn, not several")
    inputs = {
        "mask": source.get("mask"), "together": True, "crop_factor": source.get("crop_factor", 3.0), "smallest": source.get("drop_size", 10),
        "fill_box": source.get("bbox_fill"), "fill_holes": source.get("contour_fill"),
    }  # fmt: skip
    segments = builder.add(source, "segments_from_mask", inputs, suffix="things")
    drawn = _draw(builder, source, image, segments, parts, masked="mask_mode")
    made = _paste(builder, source, image, drawn, source.get("feather", 5))
    pipe = source.get("basic_pipe")
    return [made, builder.ref(drawn.crops), drawn.images, pipe, source.get("refiner_basic_pipe_opt")]


def _upscaled(enlarges: bool, custom: bool = False) -> Make:
    """Return a function for Ultimate SD Upscale: a larger picture, drawn anew tile by tile."""

    def make(builder: Builder, source: Source) -> list[Value]:
        image = source.get("image" if enlarges else "upscaled_image")
        if enlarges:
            image = _larger(builder, source, image)
        for name in ("custom_sampler", "custom_sigmas"):
            if source.get(name) is not None:
                raise RefusedError(f"its input {name} has no native counterpart")
        source.used |= {
            "force_uniform_tiles",
            "seam_fix_denoise",
            "seam_fix_width",
            "seam_fix_mask_blur",
            "seam_fix_padding",
            "batch_size",
        }
        if source.text("seam_fix_mode", "None") != "None":
            source.remark("seams are not drawn a second time; tiles fade into each other by mask_blur")
        mode = source.text("mode_type", "Linear")
        if mode == "None":
            source.used |= set(source.inputs)
            return [image]
        size = {f"tile_{edge}": source.get(f"tile_{edge}", 512) for edge in ("width", "height")}
        blur, padding = int(source.number("mask_blur", 8)), int(source.number("tile_padding", 32))
        inputs = {"image": image, **size, "overlap": 2 * blur, "margin": padding}
        tiles = builder.add(source, "tile_segments", inputs, suffix="tiles")
        crops = builder.add(
            source, "crop_segments", {"image": image, "segments": tiles, "guide_size": 0}, suffix="crops"
        )
        vae = source.get("vae")
        latent = builder.add(source, "encode_image", {"vae": vae, "images": crops}, suffix="encode")
        steps = {
            "model": "model", "positive": "positive", "negative": "negative", "seed": "seed", "steps": "steps", "cfg": "guidance_scale",
            "sampler_name": "sampler", "scheduler": "schedule", "denoise": "strength",
        }  # fmt: skip
        inputs = {native: source.get(comfy) for comfy, native in steps.items()}
        for side in ("positive", "negative"):
            told = {"conditioning": inputs[side], "segments": builder.ref(crops.node, "segments")}
            inputs[side] = builder.add(source, "crop_conditioning", told, suffix=f"{side}-cut")
        latent = builder.add(source, "sample", {**inputs, "latent": latent, **BATCH_NOISE}, suffix="sample")
        tile = _TILE if source.flag("tiled_decode") else None
        drawn = builder.add(source, "vae_decode", {"vae": vae, "latent": latent, "tile": tile}, suffix="decode")
        inputs = {"image": image, "segments": builder.ref(crops.node, "segments"), "images": drawn, "feather": blur}
        return [builder.add(source, "paste_segments", inputs)]

    return make


def _larger(builder: Builder, source: Source, image: Value) -> Ref:
    """Enlarge a picture by a model, and to a factor of its size."""
    large, model = image, source.get("upscale_model")
    if model is not None and not isinstance(model, Lost):
        large = builder.add(
            source, "upscale_image_with_model", {"upscale_model": model, "image": image}, suffix="large"
        )
    edges = scaled_edges(builder, source, image, source.get("upscale_by", 2.0))
    inputs = {"images": large, "method": "lanczos_8bit", "multiple_of": 8, **edges}
    return builder.add(source, "resize", inputs, suffix="resized")


_DRAWS = (
    "detect_segments", "outline_segments", "segments_to_mask", "mask_segments", "choose_segments", "segments_from_mask", "crop_segments",
    "encode_prompt", "apply_lora", "concat_conditioning", "blur_mask", "differential_diffusion", "apply_control_net", "inpaint_conditioning", "encode_image",
    "set_noise_mask", "seeds_for", "sample", "vae_decode", "paste_segments",
)  # fmt: skip
_SAYS = "crop_segments, encode_image, sample, vae_decode and paste_segments"
_TILES = (
    "upscale_image_with_model",
    "image_size",
    "expression",
    "resize",
    "tile_segments",
    "crop_segments",
    "crop_conditioning",
    "encode_image",
    "sample",
    "vae_decode",
    "paste_segments",
)

RULES: tuple[AnyRule, ...] = (
    Made("FaceDetailer", _DRAWS, _faces(pipe=False), says=f"detect_segments, outline_segments, {_SAYS}", differs=_APART, pack=IMPACT),
    Made("FaceDetailerPipe", _DRAWS, _faces(pipe=True), says=f"detect_segments, outline_segments, {_SAYS}", differs=_APART, pack=IMPACT),
    Made("DetailerForEach", _DRAWS, _each(pipe=False), says=_SAYS, differs=_APART, pack=IMPACT),
    Made("DetailerForEachPipe", _DRAWS, _each(pipe=True, outputs="image segs pipe -"), says=_SAYS, differs=_APART, pack=IMPACT),
    Made("DetailerForEachDebug", _DRAWS, _each(pipe=False, outputs="image crops drawn drawn -"), says=_SAYS, differs=_APART, pack=IMPACT),
    Made("DetailerForEachDebugPipe", _DRAWS, _each(pipe=True, outputs="image segs pipe crops drawn drawn -"), says=_SAYS, differs=_APART, pack=IMPACT),
    Made("SEGSDetailer", _DRAWS, _only_drawn, says="crop_segments, encode_image, sample and vae_decode", differs="by description", pack=IMPACT),
    Made("MaskDetailerPipe", _DRAWS, _mask_detailer, says=f"segments_from_mask, {_SAYS}", differs=_APART, pack=IMPACT),
    Made("SEGSPaste", ("crop_segments", "paste_segments"), _pasted, says="paste_segments", differs="by description", pack=IMPACT),
    *(
        Made(type, (), _controlled, says="an apply_control_net for each cut-out", differs="by description", pack=IMPACT)
        for type in ("ImpactControlNetApplySEGS", "ImpactControlNetApplyAdvancedSEGS")
    ),
    Made("UltimateSDUpscale", _TILES, _upscaled(enlarges=True), says=f"resize, tile_segments, {_SAYS}", differs=_APART, pack=_ULTIMATE),
    Made("UltimateSDUpscaleNoUpscale", _TILES, _upscaled(enlarges=False), says=f"tile_segments, {_SAYS}", differs=_APART, pack=_ULTIMATE),
    Made("UltimateSDUpscaleCustomSample", _TILES, _upscaled(enlarges=True), says=f"resize, tile_segments, {_SAYS}", differs=_APART, pack=_ULTIMATE),
)  # fmt: skip
"""By ComfyUI type."""
