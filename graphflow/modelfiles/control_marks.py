"""The tensors by which a ControlNet of any family is known."""

from __future__ import annotations

from graphflow.modelfiles.inferred import Shapes

TRANSFORMER_BLOCKS = (
    "transformer_blocks.", "double_blocks.", "single_transformer_blocks.", "controlnet_blocks.0.x_rms.", "control_layers.",
)  # fmt: skip
"""Beginnings of names that only ControlNets for transformers have."""

_PREFIXES = ("control_model.", "controlnet.", "")
_MARKS = (
    "input_hint_block.0.weight",
    "controlnet_cond_embedding.conv_in.weight",
    "controlnet_x_embedder.weight",
    "controlnet_blocks.0.weight",
    "controlnet_blocks.0.x_rms.weight",
    "control_all_x_embedder.2-1.weight",
)


def control_prefix(shapes: Shapes) -> str | None:
    """Return what the names of a ControlNet's tensors begin with; None where the file holds none."""
    return next((prefix for prefix in _PREFIXES if any(prefix + name in shapes for name in _MARKS)), None)
