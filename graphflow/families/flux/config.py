"""Diffusers configs of FLUX.1's transformers, from the names and shapes of their tensors."""

from __future__ import annotations

import re

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

_BLOCK = re.compile(r"^(double_blocks|transformer_blocks|single_blocks|single_transformer_blocks)\.(\d{1,3})\.")
PATCH = 64
"""Numbers of a token of the latent: 16 channels, 2 x 2."""
MASK = 256
"""Numbers of a token of the mask: 8 x 8 pixels of each latent sample, 2 x 2."""


def infer_transformer(shapes: Shapes, where: str) -> Inferred:
    """Config of a `FluxTransformer2DModel`, in the authors' or in Diffusers' naming.

    Args:
        shapes: The transformer's tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    picture = shape_of(shapes, "img_in.weight", "x_embedder.weight", dims=2)
    text = shape_of(shapes, "txt_in.weight", "context_embedder.weight", dims=2)
    pooled = shape_of(shapes, "vector_in.in_layer.weight", "time_text_embed.text_embedder.linear_1.weight", dims=2)
    norm = shape_of(
        shapes, "double_blocks.0.img_attn.norm.key_norm.scale", "transformer_blocks.0.attn.norm_k.weight", dims=1
    )
    last = shape_of(shapes, "final_layer.linear.weight", "proj_out.weight", dims=2)
    if not (picture and text and pooled and norm and last) or picture[0] % norm[0]:
        raise ModelFormatError("the FLUX transformer lacks its first or last layers", where=where)
    blocks: dict[str, set[str]] = {}
    for name in shapes:
        if match := _BLOCK.match(name):
            blocks.setdefault("single" if "single" in match[1] else "double", set()).add(match[2])
    guided = any(name.startswith(("guidance_in.", "time_text_embed.guidance_embedder.")) for name in shapes)
    facts: Config = {
        "in_channels": picture[1],
        "out_channels": last[0],
        "num_layers": len(blocks.get("double", ())),
        "num_single_layers": len(blocks.get("single", ())),
        "attention_head_dim": norm[0],
        "num_attention_heads": picture[0] // norm[0],
        "joint_attention_dim": text[1],
        "pooled_projection_dim": pooled[1],
        "guidance_embeds": guided,
        "patch_size": 1,
    }
    variant, task = _kind(picture[1], last[0], guided=guided)
    # Positions have three axes: the picture's number takes an eighth of a head, row and column share the rest.
    first = norm[0] // 8
    defaults: Config = {"axes_dims_rope": [first, (norm[0] - first) // 2, (norm[0] - first) // 2]}
    return Inferred("FluxTransformer2DModel", variant, facts, defaults, frozenset({"axes_dims_rope"}), task)


def schedule(variant: str) -> Config:
    """The config of Diffusers' scheduler for a variant, as the models were published."""
    distilled = variant == "flux_schnell"
    return {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 1.0 if distilled else 3.0,
        "use_dynamic_shifting": not distilled,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
    }


def _kind(inputs: int, outputs: int, *, guided: bool) -> tuple[str, str]:
    if inputs == 2 * outputs + MASK:
        return "flux_fill", "inpaint"
    if inputs == 2 * outputs:
        return "flux_control", "control"
    return ("flux_dev" if guided else "flux_schnell"), "generate"
