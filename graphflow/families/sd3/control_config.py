"""Configs and names of Stable Diffusion 3's ControlNets: in Diffusers' layout, and as Stability AI published them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from graphflow.errors import ModelFormatError
from graphflow.families.flow.names import Row, TableNames
from graphflow.families.sd3.config import HEAD, blocks_of
from graphflow.modelfiles.description import Config, Part
from graphflow.modelfiles.family import THIRDS
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

CONTROL = "SD3ControlNetModel"
CHANNELS = 16
"""Of the latents."""


def infer_control(shapes: Shapes, where: str) -> Inferred:
    """Config of an `SD3ControlNetModel`.

    Args:
        shapes: Its tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    patches = shape_of(shapes, "pos_embed_input.proj.weight", dims=4)
    text = shape_of(shapes, "context_embedder.weight", dims=2)
    places = shape_of(shapes, "pos_embed.pos_embed", dims=3)
    pooled = shape_of(shapes, "time_text_embed.text_embedder.linear_1.weight", dims=2)
    if not patches or not pooled or patches[0] % HEAD or patches[1] < CHANNELS:
        raise ModelFormatError(
            "the Stable Diffusion 3 ControlNet lacks the layers that read the picture or the pooled text", where=where
        )
    facts: Config = {
        "patch_size": patches[2],
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "extra_conditioning_channels": patches[1] - CHANNELS,
        "attention_head_dim": HEAD,
        "num_attention_heads": patches[0] // HEAD,
        "joint_attention_dim": text[1] if text else None,
        "caption_projection_dim": text[0] if text else patches[0],
        "pooled_projection_dim": pooled[1],
        "pos_embed_max_size": math.isqrt(places[1]) if places else None,
        "use_pos_embed": bool(places),
        "force_zeros_for_pooled_projection": bool(text),
        **blocks_of(shapes),
    }
    return Inferred(CONTROL, "sd3", facts, {"sample_size": 128}, frozenset({"sample_size"}))


def control_names(part: Part) -> TableNames:
    """Return the names of a ControlNet's tensors, in which Stability AI differs from Diffusers."""
    return TableNames(tuple(_rows()), {}, original=True)


def _rows() -> Iterator[Row]:
    block = "transformer_blocks.{}."
    for letter, third in zip("qkv", THIRDS, strict=True):
        yield f"{block}attn.qkv", f"{block}attn.to_{letter}", third
    yield f"{block}attn.proj", f"{block}attn.to_out.0", ""
    yield f"{block}mlp.fc1", f"{block}ff.net.0.proj", ""
    yield f"{block}mlp.fc2", f"{block}ff.net.2", ""
    yield f"{block}adaLN_modulation.1", f"{block}norm1.linear", ""
