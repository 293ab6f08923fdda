"""How the tensors of FLUX.2's transformers are called by their authors and in Diffusers' `Flux2Transformer2DModel`."""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.families.flow.names import Row, TableNames
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import THIRDS

_TIME = "time_guidance_embed."
_MODULES = (
    ("img_in", "x_embedder"),
    ("txt_in", "context_embedder"),
    ("time_in.in_layer", f"{_TIME}timestep_embedder.linear_1"),
    ("time_in.out_layer", f"{_TIME}timestep_embedder.linear_2"),
    ("guidance_in.in_layer", f"{_TIME}guidance_embedder.linear_1"),
    ("guidance_in.out_layer", f"{_TIME}guidance_embedder.linear_2"),
    ("double_stream_modulation_img.lin", "double_stream_modulation_img.linear"),
    ("double_stream_modulation_txt.lin", "double_stream_modulation_txt.linear"),
    ("single_stream_modulation.lin", "single_stream_modulation.linear"),
    ("final_layer.linear", "proj_out"),
)
_STREAMS = (
    ("img", "attn.to_{}", "attn.norm_", "attn.to_out.0", "ff"),
    ("txt", "attn.add_{}_proj", "attn.norm_added_", "attn.to_add_out", "ff_context"),
)
"""Of a double block: the authors' prefix, Diffusers' projections, norms, output and perceptron."""
_SINGLE = (
    ("linear1", "attn.to_qkv_mlp_proj"),
    ("linear2", "attn.to_out"),
    ("norm.query_norm", "attn.norm_q"),
    ("norm.key_norm", "attn.norm_k"),
)


def transformer_names(part: Part) -> TableNames:
    """Return the names of a transformer's tensors."""
    return TableNames(tuple(_rows()), {"scale": "weight"}, original=part.keys == "ldm")


def _rows() -> Iterator[Row]:
    for old, new in _MODULES:
        yield old, new, ""
    # The authors have (shift, scale) in one layer, Diffusers (scale, shift).
    yield "final_layer.adaLN_modulation.1", "norm_out.linear", "swap_halves"
    for stream, projection, norm, out, perceptron in _STREAMS:
        old, new = f"double_blocks.{{}}.{stream}_", "transformer_blocks.{}."
        for letter, third in zip("qkv", THIRDS, strict=True):
            yield f"{old}attn.qkv", new + projection.format(letter), third
        yield f"{old}attn.norm.query_norm", f"{new}{norm}q", ""
        yield f"{old}attn.norm.key_norm", f"{new}{norm}k", ""
        yield f"{old}attn.proj", new + out, ""
        yield f"{old}mlp.0", f"{new}{perceptron}.linear_in", ""
        yield f"{old}mlp.2", f"{new}{perceptron}.linear_out", ""
    for old, new in _SINGLE:
        yield f"single_blocks.{{}}.{old}", f"single_transformer_blocks.{{}}.{new}", ""
