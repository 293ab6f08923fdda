"""Files that change or extend another model: LoRA, textual inversion, IP-Adapter, T2I-Adapter and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphflow.modelfiles.description import Config, JsonValue, Kind
from graphflow.modelfiles.families import family_of_adapter
from graphflow.modelfiles.inferred import Shapes

_METHODS: tuple[tuple[str, str], ...] = (
    ("dora_scale", "dora"), ("lora_magnitude_vector", "dora"), ("hada_w1_a", "loha"), ("lokr_w1", "lokr"),
    ("oft_blocks", "oft"), ("oft_diag", "oft"), ("a1.weight", "glora"), ("on_input", "ia3"),
    ("lora_down.weight", "lora"), ("lora_A.weight", "lora"), ("lora_A.default.weight", "lora"),
    ("lora.down.weight", "lora"), ("lora_linear_layer.down.weight", "lora"), ("diff_b", "diff"), ("diff", "diff"),
    ("w_norm", "diff"), ("b_norm", "diff"),
)  # fmt: skip
"""Endings of tensor names that name the method, the more special first."""

_REFUSED = ("oft", "glora", "ia3")
"""Methods whose updates cannot be merged."""

_PEFT = "base_model.model."
_UNET_BLOCKS = ("mid_block.", "down_blocks.", "up_blocks.")
_TEXT_NAMES = ("text_encoder.", "text_model.", "encoder.layers.")
_EMBEDDING_WIDTHS = ((768,), (1024,), (1280,))
_DOWN = re.compile(r"[._](?:lora_down|lora_A|lora\d?\.down|lora_A\.default|lora_linear_layer\.down)\.weight$")
_MARKERS: tuple[tuple[str, Kind], ...] = (
    ("concept_embeds", "safety_checker"), ("style_embedding", "style_model"), ("position_net.", "gligen"),
    ("id_encoder.", "photomaker"), ("conv_first.weight", "upscale_model"),
    ("model.1.sub.0.", "upscale_model"), ("params_ema.", "upscale_model"), ("body.0.rdb1.", "upscale_model"),
    ("layers.0.residual_group.", "upscale_model"), ("latent_conv_in.", "transparency_decoder"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Adapter:
    """What kind of adapter a file is, and for which family.

    Attributes:
        kind: The kind.
        family: The family it fits; None where the tensors do not tell.
        variant: Finer: the variant of the family, or for a LoRA the method.
        details: Facts of the kind.
        warnings: Sentences for the user.
    """

    kind: Kind
    family: str | None = None
    variant: str = ""
    details: Config = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def find_lora(shapes: Shapes, metadata: Mapping[str, str]) -> Adapter | None:
    """Recognise a LoRA or one of its relatives by its tensors; None where the file is something else."""
    method = _lora_method(shapes)
    return _lora(shapes, metadata, method) if method else None


def find_adapter(shapes: Shapes) -> Adapter | None:
    """Recognise any other adapter by its tensors; None where the file is something else."""
    if embedding := _embedding(shapes):
        return embedding
    for name in shapes:
        for marker, kind in _MARKERS:
            if name.startswith(marker):
                return Adapter(kind)
    return None


def _lora_method(shapes: Shapes) -> str:
    found = {method for name in shapes for ending, method in _METHODS if name.endswith("." + ending) or name == ending}
    found |= {"lora" for name in shapes if _DOWN.search(name) or "::lora::" in name}
    found |= {"diff" for name in shapes if "::diff::" in name}
    return next((method for _, method in _METHODS if method in found), "")


def _lora(shapes: Shapes, metadata: Mapping[str, str], method: str) -> Adapter:
    names = list(shapes)
    if any(name.startswith(("lora_unet_", "lora_te", "lora_prior_")) for name in names):
        layout = "kohya"
    elif any(name.startswith("lycoris_") for name in names):
        layout = "lycoris"
    elif any(name.startswith("base_model.model.") for name in names):
        layout = "peft"
    else:
        layout = "diffusers"
    targets = [
        target
        for target, starts in (
            (
                "unet",
                (
                    "lora_unet_",
                    "lycoris_",
                    "unet.",
                    *_UNET_BLOCKS,
                    *(_PEFT + name for name in ("unet.", *_UNET_BLOCKS)),
                ),
            ),
            ("text_encoder", ("lora_te_", "lora_te1_", "text_encoder.", *(_PEFT + name for name in _TEXT_NAMES))),
            ("text_encoder_2", ("lora_te2_", "text_encoder_2.")),
            ("text_encoder_3", ("lora_te3_", "text_encoder_3.")),
            ("transformer", ("transformer.", "diffusion_model.", "lora_transformer_")),
        )
        if any(name.startswith(starts) for name in names)
    ]
    family, variant = family_of_adapter("lora", shapes, metadata)
    ranks = sorted({shape[0] for name, shape in shapes.items() if _DOWN.search(name) and shape})
    rank: JsonValue = ranks[0] if len(ranks) == 1 else [*ranks]
    details: Config = {"format": layout, "targets": [*targets], "rank": rank, "base_variant": variant}
    warnings: tuple[str, ...] = ()
    if method in _REFUSED or not (targets or family):
        shown = method if targets else "no known target"
        warnings = (f"the LoRA is of an unusual make ({shown}); loading it may be refused",)
    return Adapter("lora", family, method, details, warnings)


def _embedding(shapes: Shapes) -> Adapter | None:
    """Textual inversion: one tensor, or one for each text encoder of SDXL (`clip_l`, `clip_g`)."""
    if not 1 <= len(shapes) <= 4:
        return None
    known = {"emb_params", "clip_l", "clip_g"}
    starts = ("<", "string_to_param.")
    named = {name: shape for name, shape in shapes.items() if name in known or name.startswith(starts)}
    if not named:  # Some trainers name the one tensor after the token.
        named = {name: shape for name, shape in shapes.items() if "." not in name and shape[-1:] in _EMBEDDING_WIDTHS}
    vectors = [(1, *shape) if len(shape) == 1 else shape for shape in named.values()]
    if not vectors or any(len(shape) != 2 or shape[0] > 1024 or not 1 <= shape[1] <= 8192 for shape in vectors):
        return None
    widths = [shape[1] for shape in vectors]
    details: Config = {
        "vectors": max(shape[0] for shape in vectors),
        "widths": [*widths],
        "tensors": [*named],
    }
    family, variant = family_of_adapter("embedding", named, {})
    return Adapter("embedding", family, variant, details)
