"""Latents and the autoencoder."""

from __future__ import annotations

from ..building import Builder, Source, Value
from .common import CROP, DEGREES, FILE, FLIP, METHOD, PREFIX
from .rule import AnyRule, Convert, Made, Rule

_NO_TIME = "temporal_size temporal_overlap"
_DIRECTIONS = {"x": "right", "-x": "left", "y": "down", "-y": "up", "t": "after", "-t": "before"}


def _batched(first: str, second: str) -> str:
    return f"{first}:latents[] {second}:latents[]"


def _empty(comfy: str, channels: int, downscale: int, *, pack: str = "") -> Rule:
    """Return the rule of an empty latent of a family."""
    return Rule(
        comfy,
        "empty_latent",
        "width height batch_size",
        fixed={"channels": channels, "downscale": downscale},
        pack=pack,
        defaults={"width": 1024, "height": 1024, "batch_size": 1},
    )


def _cascade(builder: Builder, source: Source) -> list[Value]:
    """StableCascade_EmptyLatentImage: 16 channels for stage C, at the compression given, and 4 for stage B, at a quarter."""
    size = {
        "width": source.get("width", 1024),
        "height": source.get("height", 1024),
        "batch_size": source.get("batch_size", 1),
    }
    return [
        builder.add(source, "empty_latent", {**size, "channels": channels, "downscale": downscale}, suffix=suffix)
        for channels, downscale, suffix in ((16, source.get("compression", 42), ""), (4, 4, "stage-b"))
    ]


RULES: tuple[AnyRule, ...] = (
    _empty("EmptyLatentImage", 4, 8),
    _empty("EmptySD3LatentImage", 16, 8),
    _empty("EmptyHunyuanImageLatent", 64, 32),
    _empty("EmptyFlux2LatentImage", 128, 16),
    _empty("EmptyChromaRadianceLatentImage", 3, 1),
    Made("StableCascade_EmptyLatentImage", ("empty_latent",), _cascade, says="an empty_latent for each stage"),
    Rule("SetLatentNoiseMask", "set_noise_mask", "samples:latent mask"),
    Rule("LatentUpscale", "upscale_latent", "samples:latent upscale_method:method width height crop", values={"upscale_method": METHOD, "crop": CROP}, fixed={"scale": 1.0}),
    Rule("LatentUpscaleBy", "upscale_latent", "samples:latent upscale_method:method scale_by:scale", values={"upscale_method": METHOD}),
    Rule("Latent Upscale by Factor (WAS)", "upscale_latent", "samples:latent mode:method factor:scale", values={"mode": METHOD},
         defaults={"mode": "bilinear", "factor": 2.0}, ignored="align", pack="was-node-suite-comfyui", differs="“align corners” is not used", back=False),
    Rule("LatentUpscaleFactorSimple _O", "upscale_latent", "samples:latent upscale_method:method factor:scale", values={"upscale_method": METHOD},
         ignored="crop", pack="ComfyUI-QualityOfLifeSuit_Omar92", back=False),
    Rule("LatentBatch", "batch_latents", _batched("samples1", "samples2"), fixed={"resize": True}, loose=frozenset({"resize"})),
    Rule("LatentFromBatch", "latents_from_batch", "samples:latent batch_index:start length"),
    Rule("RepeatLatentBatch", "repeat_latents", "samples:latent amount:count"),
    Rule("RebatchLatents", "rebatch_latents", "latents batch_size"),
    Rule("LatentBatchSeedBehavior", "batch_noise", "samples:latent seed_behavior:behavior"),
    Rule("LatentFlip", "flip_latent", "samples:latent flip_method:direction", values={"flip_method": FLIP}),
    Rule("LatentRotate", "rotate_latent", "samples:latent rotation:degrees", values={"rotation": DEGREES}),
    Rule("LatentCrop", "crop_latent", "samples:latent width height x y"),
    Rule("LatentCut", "cut_latent", "samples:latent dim:axis index:start amount:length"),
    Rule("LatentCutToBatch", "cut_latent_to_batch", "samples:latent dim:axis slice_size:length", defaults={"dim": "t", "slice_size": 1}),
    Rule("EmptyQwenImageLayeredLatentImage", "empty_video_latent", "width height layers:length batch_size",
         values={"layers": Convert(lambda layers: layers + 1, lambda length: length - 1)}, fixed={"channels": 16, "downscale": 8, "time_downscale": 1},
         defaults={"width": 640, "height": 640, "layers": 3, "batch_size": 1}),
    Rule("LatentConcat", "concat_latents", "samples1:first samples2:second dim:direction", values={"dim": _DIRECTIONS}),
    Rule("LatentComposite", "composite_latents", "samples_to:destination samples_from:source x y feather"),
    Rule("LatentCompositeMasked", "composite_latents", "destination source x y resize_source mask"),
    Rule("LatentBlend", "blend_latents", "samples1:first samples2:second blend_factor:factor", fixed={"method": "linear"}, ignored="blend_mode"),
    Rule("LatentInterpolate", "blend_latents", "samples1:first samples2:second ratio:factor", fixed={"method": "direction"}),
    Rule("LatentAdd", "combine_latents", "samples1:first samples2:second", fixed={"operation": "add"}),
    Rule("LatentSubtract", "combine_latents", "samples1:first samples2:second", fixed={"operation": "subtract"}),
    Rule("LatentMultiply", "multiply_latent", "samples:latent multiplier:factor"),
    Rule("Get latent size", "latent_size", "samples:latent", "width height", pack="a pack of Muye", back=False, ignored="original"),
    Rule("SaveLatent", "save_latent", "samples:latent filename_prefix", values={"filename_prefix": PREFIX}),
    Rule("LoadLatent", "load_latent", "latent:file", values={"latent": FILE}),
    # the autoencoder
    Rule("VAEDecode", "vae_decode", "samples:latent vae"),
    Rule("VAEDecodeTiled", "vae_decode", "samples:latent vae tile_size:tile overlap", ignored=_NO_TIME),
    Rule("VAEEncode", "encode_image", "pixels:images vae"),
    Rule("VAEEncodeTiled", "encode_image", "pixels:images vae tile_size:tile overlap", ignored=_NO_TIME),
    Rule("VAEEncodeArgMax", "encode_image", "pixels:images vae", back=False, pack="ComfyUI-IC-Light"),
    Rule("VAEEncodeForInpaint", "encode_for_inpaint", "pixels:images vae mask grow_mask_by:grow"),
    Rule("InpaintModelConditioning", "inpaint_conditioning", "positive negative vae pixels:images mask noise_mask", "positive negative latent"),
    Rule("InstructPixToPixConditioning", "edit_conditioning", "positive negative vae pixels:images", "positive negative latent"),
)  # fmt: skip
"""By ComfyUI type."""
