"""What the configs of FLUX.1 and of what was made of it have in common, from the names and shapes of their tensors."""

from __future__ import annotations

import re

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.inferred import Shapes, shape_of

_BLOCK = re.compile(r"^(double_blocks|transformer_blocks|single_blocks|single_transformer_blocks)\.(\d{1,3})\.")


def transformer_facts(shapes: Shapes, where: str) -> tuple[Config, Config]:
    """Values that follow from the tensors, and such as they do not tell.

    Args:
        shapes: The transformer's tensors, without prefix, in the authors' or in Diffusers' naming.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    facts, defaults = block_facts(shapes, where)
    last = shape_of(shapes, "final_layer.linear.weight", "proj_out.weight", dims=2)
    if not last:
        raise ModelFormatError("the transformer lacks its last layer", where=where)
    return facts | {"out_channels": last[0]}, defaults


def block_facts(shapes: Shapes, where: str) -> tuple[Config, Config]:
    """As :func:`transformer_facts`, of all but the last layer.

    Raises:
        ModelFormatError: The tensors do not form such a network.
    """
    picture = shape_of(shapes, "img_in.weight", "x_embedder.weight", dims=2)
    text = shape_of(shapes, "txt_in.weight", "context_embedder.weight", dims=2)
    norm = shape_of(
        shapes, "double_blocks.0.img_attn.norm.key_norm.scale", "transformer_blocks.0.attn.norm_k.weight", dims=1
    )
    if not (picture and text and norm) or picture[0] % norm[0]:
        raise ModelFormatError("the transformer lacks its first layers", where=where)
    blocks: dict[str, set[str]] = {}
    for name in shapes:
        if match := _BLOCK.match(name):
            blocks.setdefault("single" if "single" in match[1] else "double", set()).add(match[2])
    facts: Config = {
        "in_channels": picture[1],
        "num_layers": len(blocks.get("double", ())),
        "num_single_layers": len(blocks.get("single", ())),
        "attention_head_dim": norm[0],
        "num_attention_heads": picture[0] // norm[0],
        "joint_attention_dim": text[1],
        "patch_size": 1,
    }
    # Positions have three axes: the picture's number takes an eighth of a head, row and column share the rest.
    first = norm[0] // 8
    return facts, {"axes_dims_rope": [first, (norm[0] - first) // 2, (norm[0] - first) // 2]}


def schedule(variant: str) -> Config:
    """The config of Diffusers' scheduler, as the models were published."""
    return {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 3.0,
        "use_dynamic_shifting": True,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
    }
