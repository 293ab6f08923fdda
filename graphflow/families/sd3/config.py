"""Diffusers configs of Stable Diffusion 3's transformers, from the names and shapes of their tensors."""

from __future__ import annotations

import math
import re

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, Description
from graphflow.modelfiles.flow_times import FlowTimes
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

HEAD = 64
"""Width of an attention head, of every published model."""
_BLOCK = re.compile(r"^(?:joint_blocks|transformer_blocks)\.(\d{1,3})\.")
_DUAL = re.compile(r"^(?:joint_blocks\.(\d{1,3})\.x_block|transformer_blocks\.(\d{1,3}))\.attn2\.")
_NORM = ("joint_blocks.0.x_block.attn.ln_q.weight", "transformer_blocks.0.attn.norm_q.weight")


def infer_transformer(shapes: Shapes, where: str) -> Inferred:
    """Config of an `SD3Transformer2DModel`, in the authors' or in Diffusers' naming.

    Args:
        shapes: The transformer's tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    patches = shape_of(shapes, "x_embedder.proj.weight", "pos_embed.proj.weight", dims=4)
    places = shape_of(shapes, "pos_embed", "pos_embed.pos_embed", dims=3)
    text = shape_of(shapes, "context_embedder.weight", dims=2)
    pooled = shape_of(shapes, "y_embedder.mlp.0.weight", "time_text_embed.text_embedder.linear_1.weight", dims=2)
    last = shape_of(shapes, "final_layer.linear.weight", "proj_out.weight", dims=2)
    if not (patches and places and text and pooled and last) or patches[0] % HEAD:
        raise ModelFormatError("the Stable Diffusion 3 transformer lacks its first or last layers", where=where)
    width, channels, patch, _ = patches
    blocks = blocks_of(shapes)
    facts: Config = {
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": last[0] // patch**2,
        "attention_head_dim": HEAD,
        "num_attention_heads": width // HEAD,
        "joint_attention_dim": text[1],
        "caption_projection_dim": text[0],
        "pooled_projection_dim": pooled[1],
        "pos_embed_max_size": math.isqrt(places[1]),
        **blocks,
    }
    variant = "sd35_medium" if blocks["dual_attention_layers"] else "sd35_large" if blocks["qk_norm"] else "sd3"
    return Inferred("SD3Transformer2DModel", variant, facts, {"sample_size": 128}, frozenset({"sample_size"}))


def blocks_of(shapes: Shapes) -> Config:
    """What the blocks of a transformer or ControlNet are like."""
    blocks = {int(match[1]) for name in shapes if (match := _BLOCK.match(name))}
    dual = {int(match[1] or match[2]) for name in shapes if (match := _DUAL.match(name))}
    return {
        "num_layers": len(blocks),
        "qk_norm": "rms_norm" if any(name in shapes for name in _NORM) else None,
        "dual_attention_layers": [*sorted(dual)],
    }


def schedule(variant: str) -> Config:
    """The config of Diffusers' scheduler, as the models were published."""
    return {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}


def times(description: Description) -> FlowTimes:
    """The noise levels of a model."""
    return FlowTimes.of_schedule(description.scheduler or schedule(""))
