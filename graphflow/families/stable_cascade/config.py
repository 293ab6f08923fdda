"""Config of Stable Cascade's diffusion models and autoencoders, from the names and shapes of their tensors."""

from __future__ import annotations

import re

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, Description, JsonValue
from graphflow.modelfiles.flow_times import CosineTimes
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

UNET, STAGE_A, STAGE_C = "StableCascadeUNet", "PaellaVQModel", "CascadeAutoencoder"
"""Classes of its parts: both diffusion models, and the autoencoders of stage B's latents and of stage C's."""
TEXT_TOKENS = 4
"""Tokens that are made of the pooled text, and of each picture."""
_HEAD, _PUBLISHED = 64, 1024
"""Width of an attention head, and the widest level of the smallest published model."""
_BLOCKS = {"depthwise": "SDCascadeResBlock", "mapper": "SDCascadeTimestepBlock", "attention": "SDCascadeAttnBlock"}
_BLOCK = re.compile(r"(down_blocks|up_blocks)\.(\d{1,2})\.(\d{1,3})\.(depthwise|mapper|attention)\.")
_REPEATED = re.compile(r"(down|up)_repeat_mappers\.(\d{1,2})\.(\d{1,2})\.weight")
_MARKS = {
    "vquantizer.codebook.weight": STAGE_A,
    "backbone.1.0.block.0.1.num_batches_tracked": STAGE_C,
    "blocks.11.num_batches_tracked": STAGE_C,
}
SCHEDULERS = {"stage_b": 1.0, "stage_c": 2.0}
"""The shift of the noise levels by variant."""


def schedule(variant: str) -> Config:
    """The scheduler's config; `shift` is that of its levels (Hoogeboom et al. 2023, arXiv:2301.11093)."""
    return {"_class_name": "DDPMWuerstchenScheduler", "shift": SCHEDULERS.get(variant, 2.0)}


def times(description: Description) -> CosineTimes:
    """The noise levels of a variant."""
    return CosineTimes(SCHEDULERS.get(description.variant or "", 2.0))


def infer_unet(shapes: Shapes, where: str) -> Inferred:
    """Config of a `StableCascadeUNet`.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    first = shape_of(shapes, "embedding.1.weight", dims=4)
    pooled = shape_of(shapes, "clip_txt_pooled_mapper.weight", "clip_mapper.weight", dims=2)
    blocks: dict[str, dict[int, dict[int, str]]] = {"down_blocks": {}, "up_blocks": {}}
    for name in shapes:
        if match := _BLOCK.match(name):
            blocks[match[1]].setdefault(int(match[2]), {})[int(match[3])] = match[4]
    levels = len(blocks["down_blocks"])
    if not first or not pooled or not levels or sorted(blocks["up_blocks"]) != list(range(levels)):
        raise ModelFormatError("the diffusion model lacks its first layer or some of its levels", where=where)
    is_c = "clip_txt_mapper.weight" in shapes
    patch = 1 if is_c else 2
    kinds = [_kinds(blocks["down_blocks"][level]) for level in range(levels)]
    widths = [
        (shape_of(shapes, f"down_blocks.{level}.0.depthwise.weight", dims=4) or (0,))[0] for level in range(levels)
    ]
    times = next((shape[1] for name, shape in shapes.items() if name.endswith(".mapper.weight")), 0)
    facts: Config = {
        "in_channels": first[1] // patch**2,
        "out_channels": first[1] // patch**2,
        "patch_size": patch,
        "timestep_ratio_embedding_dim": times,
        "conditioning_dim": pooled[0] // TEXT_TOKENS,
        "clip_text_pooled_in_channels": pooled[1],
        "block_out_channels": [*widths],
        "down_num_layers_per_block": [
            len(blocks["down_blocks"][level]) // len(kinds[level]) for level in range(levels)
        ],
        "up_num_layers_per_block": [
            len(blocks["up_blocks"][level]) // len(kinds[levels - 1 - level]) for level in range(levels)
        ],
        "block_types_per_layer": [[*kind] for kind in kinds],
        "down_blocks_repeat_mappers": _repeats(shapes, "down", levels),
        "up_blocks_repeat_mappers": _repeats(shapes, "up", levels),
        "dropout": [0.0] * levels,
        "timestep_conditioning_type": ["sca", "crp"] if any(".mapper_crp." in name for name in shapes) else ["sca"],
        "switch_level": [False] * (levels - 1) if "down_downscalers.1.1.blocks.0.weight" in shapes else None,
        **_widths(shapes),
    }
    heads: list[JsonValue] = [
        max(1, width // _HEAD) if _BLOCKS["attention"] in kind else -1
        for width, kind in zip(widths, kinds, strict=True)
    ]
    certain = frozenset({"num_attention_heads"} if max(widths) >= _PUBLISHED else ())
    return Inferred(UNET, "stage_c" if is_c else "stage_b", facts, {"num_attention_heads": heads}, certain)


def autoencoder_of(shapes: Shapes) -> str:
    """The class of an autoencoder whose tensors have no prefix, or a checkpoint's; empty where it is none of these."""
    if any(name.startswith(("encoder.backbone.", "previewer.blocks.")) for name in shapes):
        return STAGE_C
    return next((kind for mark, kind in _MARKS.items() if mark in shapes), "")


def infer_autoencoder(shapes: Shapes, where: str) -> Inferred:
    """Config of a `PaellaVQModel`, or of the encoder and previewer of stage C's latents.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    kind = autoencoder_of(shapes)
    if kind == STAGE_C:
        parts = {"encoder": ("backbone.", "encoder."), "previewer": ("blocks.", "previewer.")}
        return Inferred(
            kind,
            "stage_c",
            {part: any(name.startswith(starts) for name in shapes) for part, starts in parts.items()},
            {},
        )
    codebook, widest = (
        shape_of(shapes, name, dims=dims)
        for name, dims in (("vquantizer.codebook.weight", 2), ("up_blocks.0.0.weight", 4))
    )
    if not codebook or not widest:
        raise ModelFormatError("the autoencoder lacks its codebook or its decoder", where=where)
    mixing = sum(name.startswith("up_blocks.") and name.endswith(".gammas") for name in shapes)
    facts: Config = {
        "embed_dim": widest[0],
        "latent_channels": codebook[1],
        "num_vq_embeddings": codebook[0],
        "bottleneck_blocks": mixing - 1,
    }
    return Inferred(kind, "stage_b", facts, {"levels": 2, "up_down_scale_factor": 2, "scale_factor": 0.43})


def _kinds(level: dict[int, str]) -> list[str]:
    """The kinds of blocks that repeat in a level."""
    kinds = [level[number] for number in sorted(level)]
    until = next((number for number in range(1, len(kinds)) if kinds[number] == kinds[0]), len(kinds))
    return [_BLOCKS[kind] for kind in kinds[:until]]


def _repeats(shapes: Shapes, side: str, levels: int) -> list[JsonValue]:
    found = [int(match[2]) for name in shapes if (match := _REPEATED.fullmatch(name)) and match[1] == side]
    return [found.count(level) + 1 for level in range(levels)]


def _widths(shapes: Shapes) -> Config:
    """Widths of what each of the two stages reads beside the pooled text."""
    names = {
        "clip_text_in_channels": "clip_txt_mapper.weight",
        "clip_image_in_channels": "clip_img_mapper.weight",
        "effnet_in_channels": "effnet_mapper.0.weight",
        "pixel_mapper_in_channels": "pixels_mapper.0.weight",
    }
    return {key: (shape[1] if (shape := shapes.get(name)) else None) for key, name in names.items()}
