"""Masks."""

from __future__ import annotations

from ..building import Builder, Source, Value
from .common import COLOR, FILE
from .rule import AnyRule, Made, Rule

_MASK_BLUR = "a Gaussian of this radius, with a third of it as deviation, where the node leaves that to its library"


def _preview(builder: Builder, source: Source) -> list[Value]:
    """MaskPreview: a picture of the mask."""
    picture = builder.add(source, "mask_to_image", {"mask": source.get("mask")}, suffix="picture")
    builder.add(source, "preview", {"images": picture, "max_edge": 2048})
    return [source.get("mask")]


RULES: tuple[AnyRule, ...] = (
    Rule("LoadImageMask", "load_mask", "image:file channel", values={"image": FILE}),
    Rule("SolidMask", "solid_mask", "value width height"),
    Rule("ImageToMask", "mask_from_image", "image:images channel"),
    Rule("ImageColorToMask", "mask_from_color", "image:images color", values={"color": COLOR}),
    Rule("MaskToImage", "mask_to_image", "mask"),
    Rule("Convert Masks to Images", "mask_to_image", "masks:mask", pack="was-node-suite-comfyui", back=False),
    Rule("InvertMask", "invert_mask", "mask"),
    Rule("GrowMask", "grow_mask", "mask expand:amount tapered_corners"),
    Rule("FeatherMask", "feather_mask", "mask left top right bottom", fixed={"across": True}, loose=frozenset({"across"})),
    Rule("ThresholdMask", "threshold_mask", "mask value:threshold"),
    Rule("CropMask", "crop_mask", "mask x y width height"),
    Rule("MaskComposite", "compose_masks", "destination source x y operation"),
    Made("MaskPreview", ("mask_to_image", "preview"), _preview, says="mask_to_image and preview"),
    Made("MaskPreview+", ("mask_to_image", "preview"), _preview, says="mask_to_image and preview", pack="ComfyUI_essentials"),
    Rule("MaskBlur+", "blur_mask", "mask amount:radius", pack="ComfyUI_essentials", ignored="device", differs=_MASK_BLUR, back=False),
    Rule("ImpactGaussianBlurMask", "blur_mask", "mask kernel_size:radius sigma", defaults={"kernel_size": 10, "sigma": 10.0}, pack="ComfyUI-Impact-Pack", back=False),
)  # fmt: skip
"""By ComfyUI type."""
