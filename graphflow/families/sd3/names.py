"""How Stable Diffusion 3's tensors are called by Stability AI and in Diffusers' `SD3Transformer2DModel`."""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.families.flow.names import Row, TableNames
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import THIRDS

_MODULES = (
    ("", "pos_embed"),  # the table of places is a tensor of no module
    ("x_embedder.proj", "pos_embed.proj"),
    ("t_embedder.mlp.0", "time_text_embed.timestep_embedder.linear_1"),
    ("t_embedder.mlp.2", "time_text_embed.timestep_embedder.linear_2"),
    ("y_embedder.mlp.0", "time_text_embed.text_embedder.linear_1"),
    ("y_embedder.mlp.2", "time_text_embed.text_embedder.linear_2"),
    ("context_embedder", "context_embedder"),
    ("final_layer.linear", "proj_out"),
)
_OLD, _NEW = "joint_blocks.{}.", "transformer_blocks.{}."
_BLOCK = (
    ("x_block.adaLN_modulation.1", "norm1.linear"),
    ("context_block.adaLN_modulation.1", "norm1_context.linear"),
    ("x_block.attn.ln_q", "attn.norm_q"),
    ("x_block.attn.ln_k", "attn.norm_k"),
    ("context_block.attn.ln_q", "attn.norm_added_q"),
    ("context_block.attn.ln_k", "attn.norm_added_k"),
    ("x_block.attn2.ln_q", "attn2.norm_q"),
    ("x_block.attn2.ln_k", "attn2.norm_k"),
    ("x_block.attn.proj", "attn.to_out.0"),
    ("context_block.attn.proj", "attn.to_add_out"),
    ("x_block.attn2.proj", "attn2.to_out.0"),
    ("x_block.mlp.fc1", "ff.net.0.proj"),
    ("x_block.mlp.fc2", "ff.net.2"),
    ("context_block.mlp.fc1", "ff_context.net.0.proj"),
    ("context_block.mlp.fc2", "ff_context.net.2"),
)


def transformer_names(part: Part) -> TableNames:
    """Return the names of a transformer's tensors."""
    layers = part.config["num_layers"]
    assert isinstance(layers, int)
    return TableNames(tuple(_rows(layers - 1)), {}, original=part.keys == "ldm")


def _rows(last: int) -> Iterator[Row]:
    for old, new in _MODULES:
        yield old, new, ""
    # The authors have (shift, scale) in one layer, Diffusers (scale, shift): at the end, and where the text ends.
    yield "final_layer.adaLN_modulation.1", "norm_out.linear", "swap_halves"
    yield (
        f"joint_blocks.{last}.context_block.adaLN_modulation.1",
        f"transformer_blocks.{last}.norm1_context.linear",
        "swap_halves",
    )
    for old, new in _BLOCK:
        yield _OLD + old, _NEW + new, ""
    for letter, third in zip("qkv", THIRDS, strict=True):
        yield f"{_OLD}x_block.attn.qkv", f"{_NEW}attn.to_{letter}", third
        yield f"{_OLD}x_block.attn2.qkv", f"{_NEW}attn2.to_{letter}", third
        yield f"{_OLD}context_block.attn.qkv", f"{_NEW}attn.add_{letter}_proj", third
