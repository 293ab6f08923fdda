"""The shape of AnimateDiff's motion modules, read from the names and shapes of their tensors.

Original names are those of the authors' files (https://github.com/guoyww/AnimateDiff, Apache-2.0); what they are called in
Diffusers follows its conversion script.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, JsonValue
from graphflow.modelfiles.inferred import Inferred, Shapes

MOTION, MOTION_MARK = "MotionAdapter", ".motion_modules."
_MODULE = re.compile(r"(?:module\.)?(down_blocks\.\d+|up_blocks\.\d+|mid_block)\.motion_modules\.(\d+)\.(?:temporal_transformer\.)?(.+)")  # fmt: skip
_RENAMED: Mapping[str, str] = {
    "attention_blocks.0.pos_encoder.": "pos_embed.", "attention_blocks.0.": "attn1.", "attention_blocks.1.": "attn2.",
    "norms.0.": "norm1.", "norms.1.": "norm2.", "ff_norm.": "norm3.",
}  # fmt: skip
_TWICE = "attention_blocks.1.pos_encoder."
"""Both attentions of a block have the same positions; one of them is read."""
_VARIANTS = {4: "sd1", 3: "sdxl"}
"""Of the UNets that modules are for, by their levels."""


def is_motion(shapes: Shapes) -> bool:
    """Whether tensors are those of motion modules."""
    return any(MOTION_MARK in name and _MODULE.fullmatch(name) for name in shapes)


def infer_motion(shapes: Shapes, where: str) -> Inferred:
    """Config of a Diffusers `MotionAdapter`.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    named = {name: shape for key, shape in shapes.items() for name in motion_places(key)}
    widths: list[JsonValue] = []
    while shape := named.get(f"down_blocks.{len(widths)}.motion_modules.0.norm.weight"):
        widths.append(shape[0])
    positions = next((shape for name, shape in named.items() if name.endswith("pos_embed.pe")), ())
    layers = sum(re.fullmatch(r"down_blocks\.0\.motion_modules\.\d+\.norm\.weight", name) is not None for name in named)
    if not widths or len(positions) != 3 or "conv_in.weight" in shapes:
        raise ModelFormatError("the motion modules lack levels or positions, or are of another make", where=where)
    facts: Config = {
        "block_out_channels": widths,
        "motion_layers_per_block": layers,
        "motion_max_seq_length": positions[1],
        "use_motion_mid_block": any(name.startswith("mid_block.") for name in named),
    }
    heads: Config = {"motion_num_attention_heads": 8, "motion_norm_num_groups": 32}
    return Inferred(MOTION, _VARIANTS.get(len(widths), ""), facts, heads)


def motion_original(name: str) -> str:
    """What the authors call a tensor of the class; of the positions, those of the first attention."""
    head, mark, rest = name.partition(MOTION_MARK)
    number, _, leaf = rest.partition(".")
    for old, new in _RENAMED.items():
        leaf = leaf.replace(f".{new}", f".{old}")
    return f"{head}{mark}{number}.temporal_transformer.{leaf}"


def motion_places(key: str) -> Iterator[str]:
    """The tensor of the class that a tensor of a file makes."""
    match = _MODULE.fullmatch(key)
    if match is None or _TWICE in key:
        return
    rest = match[3]
    for old, new in _RENAMED.items():
        rest = rest.replace(old, new)
    yield f"{match[1]}.motion_modules.{match[2]}.{rest}"
