"""How the tensors of FLUX.1, and of what was made of it, are called by Black Forest Labs and in Diffusers' classes."""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.families.flow.names import Row, TableNames
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import THIRDS, Rows

LEAVES = {"scale": "weight"}

_MODULES = (
    ("img_in", "x_embedder"),
    ("txt_in", "context_embedder"),
    ("time_in.in_layer", "time_text_embed.timestep_embedder.linear_1"),
    ("time_in.out_layer", "time_text_embed.timestep_embedder.linear_2"),
    ("vector_in.in_layer", "time_text_embed.text_embedder.linear_1"),
    ("vector_in.out_layer", "time_text_embed.text_embedder.linear_2"),
    ("guidance_in.in_layer", "time_text_embed.guidance_embedder.linear_1"),
    ("guidance_in.out_layer", "time_text_embed.guidance_embedder.linear_2"),
    ("final_layer.linear", "proj_out"),
    # Chroma makes all modulations by one network.
    ("distilled_guidance_layer.in_proj", "distilled_guidance_layer.in_proj"),
    ("distilled_guidance_layer.layers.{}.in_layer", "distilled_guidance_layer.layers.{}.linear_1"),
    ("distilled_guidance_layer.layers.{}.out_layer", "distilled_guidance_layer.layers.{}.linear_2"),
    ("distilled_guidance_layer.norms.{}", "distilled_guidance_layer.norms.{}"),
    ("distilled_guidance_layer.out_proj", "distilled_guidance_layer.out_proj"),
)
_OLD, _NEW = "double_blocks.{}.", "transformer_blocks.{}."
_DOUBLE = (
    ("img_mod.lin", "norm1.linear"),
    ("txt_mod.lin", "norm1_context.linear"),
    ("img_attn.norm.query_norm", "attn.norm_q"),
    ("img_attn.norm.key_norm", "attn.norm_k"),
    ("txt_attn.norm.query_norm", "attn.norm_added_q"),
    ("txt_attn.norm.key_norm", "attn.norm_added_k"),
    ("img_attn.proj", "attn.to_out.0"),
    ("txt_attn.proj", "attn.to_add_out"),
    ("img_mlp.0", "ff.net.0.proj"),
    ("img_mlp.2", "ff.net.2"),
    ("txt_mlp.0", "ff_context.net.0.proj"),
    ("txt_mlp.2", "ff_context.net.2"),
)
_SINGLE = (
    ("modulation.lin", "norm.linear"),
    ("norm.query_norm", "attn.norm_q"),
    ("norm.key_norm", "attn.norm_k"),
    ("linear2", "proj_out"),
)


def transformer_names(part: Part) -> TableNames:
    """Return the names of a transformer's tensors."""
    # The authors have (shift, scale) in one layer, Diffusers (scale, shift).
    last: Row = ("final_layer.adaLN_modulation.1", "norm_out.linear", "swap_halves")
    return TableNames((last, *block_rows()), LEAVES, original=part.keys == "ldm", lora_table=tuple(_xlabs_rows()))


def block_rows() -> Iterator[Row]:
    """Rows of all but the last modulation, which ControlNets have, too."""
    for old, new in _MODULES:
        yield old, new, ""
    for old, new in _DOUBLE:
        yield _OLD + old, _NEW + new, ""
    for letter, third in zip("qkv", THIRDS, strict=True):
        yield f"{_OLD}img_attn.qkv", f"{_NEW}attn.to_{letter}", third
        yield f"{_OLD}txt_attn.qkv", f"{_NEW}attn.add_{letter}_proj", third
    for old, new in _SINGLE:
        yield f"single_blocks.{{}}.{old}", f"single_transformer_blocks.{{}}.{new}", ""
    # Query, key and value, each as wide as the model, then the first layer of the perceptron, four times as wide.
    for index, name in enumerate(("attn.to_q", "attn.to_k", "attn.to_v")):
        yield "single_blocks.{}.linear1", f"single_transformer_blocks.{{}}.{name}", Rows(index, index + 1, 7)
    yield "single_blocks.{}.linear1", "single_transformer_blocks.{}.proj_mlp", Rows(3, 7, 7)


def _xlabs_rows() -> Iterator[Row]:
    """Yield what x-labs calls layers: those of the picture have number 1, those of the text 2."""
    for letter, third in zip("qkv", THIRDS, strict=True):
        yield f"{_OLD}qkv_lora1", f"{_NEW}attn.to_{letter}", third
        yield f"{_OLD}qkv_lora2", f"{_NEW}attn.add_{letter}_proj", third
        yield "single_blocks.{}.qkv", f"single_transformer_blocks.{{}}.attn.to_{letter}", third
    yield f"{_OLD}proj_lora1", f"{_NEW}attn.to_out.0", ""
    yield f"{_OLD}proj_lora2", f"{_NEW}attn.to_add_out", ""
    yield "single_blocks.{}.proj", "single_transformer_blocks.{}.proj_out", ""
