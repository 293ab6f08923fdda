"""Diffusers configs of Lumina 2's transformers, from the names and shapes of their tensors."""

from __future__ import annotations

import re

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, Description
from graphflow.modelfiles.flow_times import FlowTimes
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

VARIANT = "lumina2"
SHIFT = 6.0
"""Time shift that the model was published with."""
BEGIN = (2,)
"""Ids of tokens before a prompt."""
_PATCH = 2
_BLOCK = re.compile(r"^(layers|noise_refiner)\.(\d{1,3})\.")


def infer_transformer(shapes: Shapes, where: str) -> Inferred:
    """Config of a `Lumina2Transformer2DModel`, in the authors' or in Diffusers' naming.

    Args:
        shapes: The transformer's tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    first = shape_of(shapes, "x_embedder.weight", dims=2)
    text = shape_of(shapes, "cap_embedder.1.weight", "time_caption_embed.caption_embedder.1.weight", dims=2)
    norm = shape_of(shapes, "noise_refiner.0.attention.k_norm.weight", "noise_refiner.0.attn.norm_k.weight", dims=1)
    joined = shape_of(shapes, "noise_refiner.0.attention.qkv.weight", dims=2)
    key = shape_of(shapes, "noise_refiner.0.attn.to_k.weight", dims=2)
    if not (first and text and norm and (joined or key)) or first[0] % norm[0] or first[1] % _PATCH**2:
        raise ModelFormatError("the Lumina 2 transformer lacks its first layers", where=where)
    blocks: dict[str, set[str]] = {}
    for name in shapes:
        if match := _BLOCK.match(name):
            blocks.setdefault(match[1], set()).add(match[2])
    facts: Config = {
        "in_channels": first[1] // _PATCH**2,
        "hidden_size": first[0],
        "num_layers": len(blocks.get("layers", ())),
        "num_refiner_layers": len(blocks.get("noise_refiner", ())),
        "num_attention_heads": first[0] // norm[0],
        "num_kv_heads": (key[0] if key else (joined[0] - first[0]) // 2) // norm[0],
        "cap_feat_dim": text[1],
    }
    # Positions have three axes: the place in the text, row and column.
    defaults: Config = {"axes_dim_rope": [norm[0] // 3] * 3, "axes_lens": [300, 512, 512]}
    return Inferred("Lumina2Transformer2DModel", VARIANT, facts, defaults, frozenset(defaults))


def schedule(variant: str) -> Config:
    """The config of Diffusers' scheduler, as the model was published."""
    return {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": SHIFT,
        "use_dynamic_shifting": False,
    }


def times(description: Description) -> FlowTimes:
    """The noise levels, whatever the model."""
    return FlowTimes(shift=SHIFT)
