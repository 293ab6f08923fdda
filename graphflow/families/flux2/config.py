"""Diffusers configs of FLUX.2's transformers, from the names and shapes of their tensors."""

from __future__ import annotations

from graphflow.errors import ModelFormatError
from graphflow.families.flow import bfl_config
from graphflow.families.flow.bfl_config import transformer_facts
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of


def infer_transformer(shapes: Shapes, where: str) -> Inferred:
    """Config of a `Flux2Transformer2DModel`, in the authors' or in Diffusers' naming.

    Args:
        shapes: The transformer's tensors, without prefix.
        where: The file, for errors.

    Raises:
        ModelFormatError: The tensors do not form such a transformer.
    """
    facts, _ = transformer_facts(shapes, where)
    inner = shape_of(shapes, "double_blocks.0.img_mlp.2.weight", "transformer_blocks.0.ff.linear_out.weight", dims=2)
    time = shape_of(shapes, "time_in.in_layer.weight", "time_guidance_embed.timestep_embedder.linear_1.weight", dims=2)
    if not (inner and time):
        raise ModelFormatError(
            "the FLUX.2 transformer lacks its perceptrons or the layers that read the time", where=where
        )
    guided = any(name.startswith(("guidance_in.", "time_guidance_embed.guidance_embedder.")) for name in shapes)
    facts |= {"mlp_ratio": inner[1] / inner[0], "timestep_guidance_channels": time[1], "guidance_embeds": guided}
    head = facts["attention_head_dim"]
    assert isinstance(head, int)
    # Positions have four axes: the picture's number, row, column, and the place in the text.
    defaults: Config = {"axes_dims_rope": [head // 4] * 4, "rope_theta": 2000, "eps": 1e-6}
    variant = "flux2_dev" if guided else "flux2_klein"
    return Inferred("Flux2Transformer2DModel", variant, facts, defaults, frozenset(defaults))


def schedule(variant: str) -> Config:
    """The config of Diffusers' scheduler, as the models were published."""
    return bfl_config.schedule(variant)
