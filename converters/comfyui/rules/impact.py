"""Pipes, samplers and enlarging of ComfyUI-Impact-Pack, by its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..building import Builder, Fused, Lost, Ref, RefusedError, Source, Value
from .bundles import PIPE
from .common import BATCH_NOISE, END_STEP
from .detailers import DETAILER, REFINER, no_schedule
from .images import scaled_edges
from .rule import AnyRule, Made, Make
from .segs import IMPACT

_PARTS = ("wildcard", "bbox_detector", "sam_model_opt", "segm_detector_opt", "detailer_hook")
_SAMPLER, _UPSCALER, _REGIONS, _CHANGES = "sampler of a pipe", "upscaler", "regional prompts", "hook of an upscaler"
_PIPES = {"basic_pipe": "pipe", "detailer_pipe": DETAILER}
_INSIDE = "nothing: its values go where they are used"
_SETTINGS = {
    "seed": "seed", "steps": "steps", "cfg": "guidance_scale", "sampler_name": "sampler", "scheduler": "schedule", "denoise": "strength",
}  # fmt: skip
_WHOLE = "sampled whole: its tiles save memory, and differ from the whole a little"


def _pipe(*outputs: str) -> Make:
    """Return a function for the nodes that make, change and take apart pipes.

    Args:
        outputs: ``basic`` and ``detailer`` are pipes, ``refiner`` is a pipe of the refiner, others are values; by slot.
    """

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= {"Select to add LoRA", "Select to add Wildcard"}
        parts: dict[str, Value] = {}
        ids = [source.id]
        for name, kind in _PIPES.items():
            if (before := source.fused(name, kind)) is not None:
                parts |= before.parts
                ids += before.ids
        if (refiner := source.fused("refiner_basic_pipe_opt", "pipe")) is not None:
            parts |= {f"refiner_{name}": value for name, value in refiner.parts.items()}
        for name in (*PIPE, *REFINER, *_PARTS):
            value = source.get(name) or source.get(name.removesuffix("_opt"))
            if value is not None and not isinstance(value, Lost):
                parts[name] = value
        basic = {name: parts.get(name) for name in PIPE}
        refined = {name: parts[full] for name in PIPE if (full := f"refiner_{name}") in parts}
        whole: Mapping[str, Value] = {
            "basic": Fused("pipe", {name: value for name, value in basic.items() if value is not None}, tuple(ids)),
            "detailer": Fused(DETAILER, parts, tuple(ids)),
            "refiner": Fused("pipe", refined, tuple(ids)) if refined else None,
        }
        return [whole[output] if output in whole else parts.get(output) for output in outputs]

    return make


def _of_pipe(source: Source, name: str = "basic_pipe") -> Mapping[str, Value]:
    return source.part(name, "pipe").parts


def _told(source: Source, parts: Mapping[str, Value]) -> dict[str, Any]:
    """Return the inputs of sample that a pipe and the node's own settings say."""
    told = {name: parts.get(name) for name in ("model", "positive", "negative")}
    return told | {native: source.get(comfy) for comfy, native in _SETTINGS.items() if comfy in source.inputs}


def _sampled(advanced: bool) -> Make:
    """Return a function for KSampler (pipe)."""

    def make(builder: Builder, source: Source) -> list[Value]:
        no_schedule(source)
        parts = _of_pipe(source)
        inputs = {**_told(source, parts), "latent": source.get("latent_image"), **BATCH_NOISE}
        if advanced:
            inputs |= {
                "seed": source.get("noise_seed", 0),
                "add_noise": source.flag("add_noise", True),
                "leftover_noise": source.flag("return_with_leftover_noise"),
                "start_step": source.get("start_at_step", 0),
                "end_step": END_STEP.to_native(source.number("end_at_step", 10_000)),
            }
        return [source.get("basic_pipe"), builder.add(source, "sample", inputs), parts.get("vae")]

    return make


def _provided(tiled: bool = False) -> Make:
    """Return a function for the nodes that only say how to sample."""

    def make(builder: Builder, source: Source) -> list[Value]:
        no_schedule(source)
        if tiled:
            source.used |= {"tile_width", "tile_height", "tiling_strategy"}
            source.remark(_WHOLE)
        if source.number("sigma_factor", 1.0) != 1:
            source.remark("its sigma_factor is left out")
        source.get("sampler_opt")
        return [Fused(_SAMPLER, _told(source, _of_pipe(source)), (source.id,))]

    return make


def _sampler(source: Source, name: str) -> Fused:
    return source.part(name, _SAMPLER)


def _two(builder: Builder, source: Source) -> list[Value]:
    """TwoSamplersForMask: first all outside the mask, then all inside."""
    base, inside = _sampler(source, "base_sampler"), _sampler(source, "mask_sampler")
    mask = source.get("mask")
    outside = builder.add(source, "invert_mask", {"mask": mask}, suffix="outside")
    latent = source.get("latent_image")
    for sampler, where, name in ((base, outside, "base"), (inside, mask, "inside")):
        latent = builder.add(source, "set_noise_mask", {"latent": latent, "mask": where}, suffix=f"{name}-mask")
        inputs = {**sampler.parts, "latent": latent, **BATCH_NOISE}
        latent = builder.add(source, "sample", inputs, suffix="" if name == "inside" else name, ids=sampler.ids)
    return [latent]


def _region(builder: Builder, source: Source) -> list[Value]:
    source.used |= {"variation_seed", "variation_strength", "variation_method"}
    sampler = _sampler(source, "advanced_sampler" if "advanced_sampler" in source.inputs else "sampler")
    return [Fused(_REGIONS, {"regions": [(source.get("mask"), sampler)]}, (source.id, *sampler.ids))]


def _regions(builder: Builder, source: Source) -> list[Value]:
    names = source.numbered("regional_prompts")
    found = [regions for name in names if (regions := source.fused(name, _REGIONS)) is not None]
    parts = {"regions": [region for regions in found for region in regions.parts["regions"]]}
    return [Fused(_REGIONS, parts, (source.id, *(id for regions in found for id in regions.ids)))]


def _by_region(builder: Builder, source: Source) -> list[Value]:
    """RegionalSampler, and TwoAdvancedSamplersForMask: one sampling in which each prompt acts in its region."""
    base = _sampler(source, "base_sampler")
    if "mask_sampler" in source.inputs:
        regions = [(source.get("mask"), _sampler(source, "mask_sampler"))]
    else:
        told = source.fused("regional_prompts", _REGIONS)
        regions = told.parts["regions"] if told is not None else []
    source.remark("the prompts act in their regions in one sampling, by the base sampler's settings")
    source.used |= {
        "seed_2nd", "seed_2nd_mode", "base_only_steps", "overlap_factor", "restore_latent", "additional_mode", "additional_sampler",
        "additional_sigma_ratio",
    }  # fmt: skip
    sides: dict[str, Value] = {}
    for side in ("positive", "negative"):
        outside, whole = None, base.parts.get(side)
        for number, (mask, sampler) in enumerate(regions):
            if sampler.parts.get("model") != base.parts.get("model"):
                raise RefusedError("a region has a model of its own")
            name = f"{side}-{number}"
            told_there = builder.add(
                source, "set_conditioning_mask", {"conditioning": sampler.parts.get(side), "mask": mask}, suffix=name
            )
            other = builder.add(source, "invert_mask", {"mask": mask}, suffix=f"{name}-outside")
            if outside is not None:
                other = builder.add(
                    source,
                    "compose_masks",
                    {"destination": outside, "source": other, "operation": "multiply"},
                    suffix=f"{name}-left",
                )
            outside = other
            sides[name] = told_there
        if outside is not None:
            whole = builder.add(
                source, "set_conditioning_mask", {"conditioning": whole, "mask": outside}, suffix=f"{side}-base"
            )
        every = [whole, *(sides.pop(f"{side}-{number}") for number in range(len(regions)))]
        sides[side] = whole
        for number, part in enumerate(every[1:]):
            both = {"conditioning": [sides[side], part]}
            sides[side] = builder.add(source, "combine_conditioning", both, suffix=f"{side}-with-{number}")
    settings = {name: value for name, value in base.parts.items() if name not in ("positive", "negative")}
    own = {
        "seed": source.get("noise_seed") or source.get("seed", 0), "steps": source.get("steps", 20), "strength": source.get("denoise"),
    }  # fmt: skip
    latent = source.get("samples") or source.get("latent_image")
    inputs = {
        **settings,
        **{name: value for name, value in own.items() if value is not None},
        **sides,
        "latent": latent,
        **BATCH_NOISE,
    }
    return [builder.add(source, "sample", inputs)]


def _upscaler(pipe: bool, tiled: bool = False) -> Make:
    """Return a function for the nodes that say how to enlarge in the space of pixels."""

    def make(builder: Builder, source: Source) -> list[Value]:
        no_schedule(source)
        parts = _of_pipe(source) if pipe else {name: source.get(name) for name in PIPE}
        if tiled:
            source.used |= {"tile_width", "tile_height", "tiling_strategy"}
            source.remark(_WHOLE)
        hook = source.fused("pk_hook_opt", _CHANGES)
        told = {
            "vae": parts.get("vae"), "method": source.text("scale_method", "nearest-exact"), "model": source.get("upscale_model_opt"),
            "tile": int(source.number("tile_size", 512)) if source.flag("use_tiled_vae") else None,
            "changes": dict(hook.parts) if hook is not None else {},
            "sampling": _told(source, parts),
        }  # fmt: skip
        return [Fused(_UPSCALER, told, (source.id,))]

    return make


def _change(native: str, target: str) -> Make:
    """Return a function for a hook that changes a setting from pass to pass."""

    def make(builder: Builder, source: Source) -> list[Value]:
        if source.text("schedule_for_iteration", "simple") != "simple":
            raise RefusedError("its schedule has no native counterpart")
        return [Fused(_CHANGES, {native: source.number(target)}, (source.id,))]

    return make


def _changes(builder: Builder, source: Source) -> list[Value]:
    parts: dict[str, Any] = {}
    for name in ("hook1", "hook2"):
        if (hook := source.fused(name, _CHANGES)) is not None:
            parts |= hook.parts
    return [Fused(_CHANGES, parts, (source.id,))]


def _enlarged(builder: Builder, source: Source, image: Value, told: Mapping[str, Any], scale: Any, suffix: str) -> Ref:
    """Enlarge pictures by a factor, by a model first where there is one."""
    method = {"nearest-exact": "nearest", "lanczos": "lanczos_8bit"}.get(told["method"], told["method"])
    if told["model"] is None:
        return builder.add(
            source, "resize", {"images": image, "scale": scale, "method": method}, suffix=f"resize{suffix}"
        )
    large = builder.add(
        source, "upscale_image_with_model", {"upscale_model": told["model"], "image": image}, suffix=f"large{suffix}"
    )
    inputs = {"images": large, "method": method, **scaled_edges(builder, source, image, scale, suffix)}
    return builder.add(source, "resize", inputs, suffix=f"resize{suffix}")


def _iterated(picture: bool) -> Make:
    """Return a function for Iterative Upscale: enlarge a little, sample, and so on."""

    def make(builder: Builder, source: Source) -> list[Value]:
        upscaler = source.part("upscaler", _UPSCALER)
        source.used.add("temp_prefix")
        told = upscaler.parts
        vae, tile = (source.get("vae") if picture else None) or told["vae"], told["tile"]
        steps, factor = max(1, int(source.number("steps", 3))), source.number("upscale_factor", 1.5)
        geometric = source.text("step_mode", "simple") == "geometric"
        sizes = [
            factor ** (step / steps) if geometric else 1 + (factor - 1) * step / steps for step in range(steps + 1)
        ]
        image: Value = source.get("pixels") if picture else None
        latent: Value = None if picture else source.get("samples")
        for step in range(steps):
            if image is None:
                image = builder.add(
                    source, "vae_decode", {"vae": vae, "latent": latent, "tile": tile}, suffix=f"decode-{step}"
                )
            image = _enlarged(builder, source, image, told, sizes[step + 1] / sizes[step], f"-{step}")
            latent = builder.add(
                source, "encode_image", {"vae": vae, "images": image, "tile": tile}, suffix=f"encode-{step}"
            )
            inputs = {**told["sampling"], "latent": latent, **BATCH_NOISE}
            for name, end in told["changes"].items():
                begin = _setting(upscaler, name)
                value = begin + (end - begin) * step / max(1, steps - 1)
                inputs[name] = round(value) if name == "steps" else value
            last = step == steps - 1 and not picture
            latent = builder.add(source, "sample", inputs, suffix="" if last else f"sample-{step}", ids=upscaler.ids)
            image = None
        if picture:
            return [builder.add(source, "vae_decode", {"vae": vae, "latent": latent, "tile": tile})]
        return [latent, vae]

    return make


def _setting(part: Fused, name: str) -> float:
    """Return a literal setting of a sampler that is a part.

    Raises:
        RefusedError: It is computed.
    """
    value = part.parts["sampling"].get(name)
    if value is None or not hasattr(value, "value"):
        raise RefusedError(f"{name} is computed while running, but a hook changes it from pass to pass")
    return float(value.value)


def _scaled(builder: Builder, source: Source) -> list[Value]:
    """Latent Scale (on Pixel Space)."""
    vae, tile = source.get("vae"), 512 if source.flag("use_tiled_vae") else None
    told = {"method": source.text("scale_method", "nearest-exact"), "model": source.get("upscale_model_opt")}
    image = builder.add(
        source, "vae_decode", {"vae": vae, "latent": source.get("samples"), "tile": tile}, suffix="decode"
    )
    image = _enlarged(builder, source, image, told, source.get("scale_factor", 1.5), "")
    return [builder.add(source, "encode_image", {"vae": vae, "images": image, "tile": tile}), image]


def _reencoded(pipe: bool) -> Make:
    def make(builder: Builder, source: Source) -> list[Value]:
        names = ("input_basic_pipe", "output_basic_pipe")
        vaes = (
            [_of_pipe(source, name).get("vae") for name in names]
            if pipe
            else [source.get("input_vae"), source.get("output_vae")]
        )
        mode = source.text("tile_mode", "None")
        size = int(source.number("tile_size", 512))
        inputs = {
            "vae": vaes[0],
            "latent": source.get("samples"),
            "tile": size if "Decode" in mode or mode == "Both" else None,
        }
        image = builder.add(source, "vae_decode", inputs, suffix="decode")
        inputs = {"vae": vaes[1], "images": image, "tile": size if "Encode" in mode or mode == "Both" else None}
        return [builder.add(source, "encode_image", inputs)]

    return make


def _bare(builder: Builder, source: Source) -> list[Value]:
    """RemoveNoiseMask: all of the latent may change."""
    mask = builder.add(source, "solid_mask", {"width": 8, "height": 8}, suffix="all")
    return [builder.add(source, "set_noise_mask", {"latent": source.get("samples"), "mask": mask})]


_SAMPLES = ("vae_decode", "upscale_image_with_model", "image_size", "expression", "resize", "encode_image", "sample")
_BY_TEXT = "by description"

RULES: tuple[AnyRule, ...] = (
    *(
        Made(type, (), _pipe(*outputs.split()), says=_INSIDE, pack=IMPACT)
        for type, outputs in (
            ("ToDetailerPipe", "detailer"), ("ToDetailerPipeSDXL", "detailer"), ("EditDetailerPipe", "detailer"), ("EditDetailerPipeSDXL", "detailer"),
            ("BasicPipeToDetailerPipe", "detailer"), ("BasicPipeToDetailerPipeSDXL", "detailer"), ("DetailerPipeToBasicPipe", "basic refiner"),
            ("FromDetailerPipe", "model clip vae positive negative bbox_detector sam_model_opt segm_detector_opt detailer_hook"),
            ("FromDetailerPipe_v2", "detailer model clip vae positive negative bbox_detector sam_model_opt segm_detector_opt detailer_hook"),
            ("FromDetailerPipeSDXL", "detailer model clip vae positive negative bbox_detector sam_model_opt segm_detector_opt detailer_hook"
             " refiner_model refiner_clip refiner_positive refiner_negative"),
        )
    ),
    Made("ImpactKSamplerBasicPipe", ("sample",), _sampled(advanced=False), says="sample", pack=IMPACT),
    Made("ImpactKSamplerAdvancedBasicPipe", ("sample",), _sampled(advanced=True), says="sample", pack=IMPACT),
    Made("KSamplerProvider", (), _provided(), says="part of the sample behind it", pack=IMPACT),
    Made("KSamplerAdvancedProvider", (), _provided(), says="part of the sample behind it", pack=IMPACT),
    Made("TiledKSamplerProvider", (), _provided(tiled=True), says="part of the sample behind it", pack=IMPACT),
    Made("TwoSamplersForMask", ("invert_mask", "set_noise_mask", "sample"), _two, says="a sample outside the mask, and one inside", differs=_BY_TEXT, pack=IMPACT),
    *(
        Made(type, ("set_conditioning_mask", "invert_mask", "compose_masks", "combine_conditioning", "sample"), _by_region,
             says="set_conditioning_mask, combine_conditioning and sample", pack=IMPACT)
        for type in ("TwoAdvancedSamplersForMask", "RegionalSampler")
    ),
    Made("RegionalPrompt", (), _region, says="part of the sample behind it", pack=IMPACT),
    Made("CombineRegionalPrompts", (), _regions, says="part of the sample behind it", pack=IMPACT),
    *(
        Made(f"Pixel{tiled}KSampleUpscalerProvider{pipe}", (), _upscaler(pipe=bool(pipe), tiled=bool(tiled)), says="part of the sample behind it", pack=IMPACT)
        for tiled in ("", "Tiled") for pipe in ("", "Pipe")
    ),
    Made("DenoiseScheduleHookProvider", (), _change("strength", "target_denoise"), says="another strength in each pass", differs=_BY_TEXT, pack=IMPACT),
    Made("CfgScheduleHookProvider", (), _change("guidance_scale", "target_cfg"), says="another guidance in each pass", differs=_BY_TEXT, pack=IMPACT),
    Made("StepsScheduleHookProvider", (), _change("steps", "target_steps"), says="other steps in each pass", differs=_BY_TEXT, pack=IMPACT),
    Made("PixelKSampleHookCombine", (), _changes, says="both", pack=IMPACT),
    Made("IterativeLatentUpscale", _SAMPLES, _iterated(picture=False), says="vae_decode, resize, encode_image and sample for each pass", differs=_BY_TEXT, pack=IMPACT),
    Made("IterativeImageUpscale", _SAMPLES, _iterated(picture=True), says="resize, encode_image, sample and vae_decode for each pass", differs=_BY_TEXT, pack=IMPACT),
    Made("LatentPixelScale", _SAMPLES[:-1], _scaled, says="vae_decode, resize and encode_image", differs=_BY_TEXT, pack=IMPACT),
    Made("ReencodeLatent", ("vae_decode", "encode_image"), _reencoded(pipe=False), says="vae_decode and encode_image", pack=IMPACT),
    Made("ReencodeLatentPipe", ("vae_decode", "encode_image"), _reencoded(pipe=True), says="vae_decode and encode_image", pack=IMPACT),
    Made("RemoveNoiseMask", ("solid_mask", "set_noise_mask"), _bare, says="set_noise_mask with a mask of all", pack=IMPACT),
)  # fmt: skip
"""By ComfyUI type."""
