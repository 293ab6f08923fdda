"""For which variant a LoRA, an embedding or an IP-Adapter was made, by its tensors and by what its trainer noted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from graphflow.modelfiles.description import Kind
from graphflow.modelfiles.family import Variant
from graphflow.modelfiles.inferred import Shapes

_VARIANTS: Mapping[int, str] = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
"""Variant by the width of the text embedding that cross-attention reads."""

_DOWN = re.compile(r"[._](?:lora_down|lora_A|lora\.down|lora_A\.default|lora_linear_layer\.down)\.weight$")
_CROSS_KEY = re.compile(r"attn2[._](?:processor[._])?to_[kv]")
_NOTES = ("ss_base_model_version", "modelspec.architecture", "ss_sd_model_name")


def variant_of_width(width: int) -> str | None:
    """Return the variant whose text embedding has this width."""
    return _VARIANTS.get(width)


def variant_of_adapter(
    kind: Kind, shapes: Shapes, metadata: Mapping[str, str], variants: Sequence[Variant]
) -> str | None:
    """Return the variant that an adapter is for; None where nothing says that it is one of these.

    Args:
        kind: What the file is for.
        shapes: Its tensors.
        metadata: Its metadata.
        variants: The variants that are asked for.
    """
    found = _embedding(shapes) if kind == "embedding" else _lora(shapes, metadata, variants) if kind == "lora" else None
    return found if found in {variant.name for variant in variants} else None


def _embedding(shapes: Shapes) -> str | None:
    if {"clip_l", "clip_g"} <= set(shapes):
        return "sdxl"
    widths = [shape[-1] for shape in shapes.values() if shape]
    return variant_of_width(widths[0]) if len(widths) == 1 else None


def _lora(shapes: Shapes, metadata: Mapping[str, str], variants: Sequence[Variant]) -> str | None:
    for name, shape in shapes.items():
        if _CROSS_KEY.search(name) and _DOWN.search(name) and len(shape) >= 2 and shape[1] in _VARIANTS:
            return _VARIANTS[shape[1]]
    said = " ".join(metadata.get(key, "") for key in _NOTES).lower()
    for variant in variants:
        if any(word in said for word in variant.words):
            return variant.name
    if any(name.startswith(("lora_te1_", "lora_te2_", "text_encoder_2.")) for name in shapes):
        return "sdxl"
    for name, shape in shapes.items():
        if name.startswith("lora_te_") and name.endswith("q_proj.lora_down.weight") and len(shape) == 2:
            return variant_of_width(shape[1])
    return None
