"""How Lumina 2's tensors are called by its authors and in Diffusers' `Lumina2Transformer2DModel`."""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.families.flow.names import Row, TableNames
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import Rows

_MODULES = (
    ("cap_embedder.0", "time_caption_embed.caption_embedder.0"),
    ("cap_embedder.1", "time_caption_embed.caption_embedder.1"),
    ("t_embedder.mlp.0", "time_caption_embed.timestep_embedder.linear_1"),
    ("t_embedder.mlp.2", "time_caption_embed.timestep_embedder.linear_2"),
    ("final_layer.adaLN_modulation.1", "norm_out.linear_1"),
    ("final_layer.linear", "norm_out.linear_2"),
)
_BLOCK = (
    ("attention.out", "attn.to_out.0"),
    ("attention.q_norm", "attn.norm_q"),
    ("attention.k_norm", "attn.norm_k"),
    ("feed_forward.w1", "feed_forward.linear_1"),
    ("feed_forward.w2", "feed_forward.linear_2"),
    ("feed_forward.w3", "feed_forward.linear_3"),
    ("adaLN_modulation.1", "norm1.linear"),
    ("attention_norm2", "norm2"),
)


def transformer_names(part: Part) -> TableNames:
    """Return the names of a transformer's tensors."""
    heads, shared = part.config["num_attention_heads"], part.config["num_kv_heads"]
    assert isinstance(heads, int)
    assert isinstance(shared, int)
    # A norm that the authors' code does not use, either.
    return TableNames(tuple(_rows(heads, shared)), {}, original=part.keys == "ldm", spare=("norm_final.",))


def _rows(heads: int, shared: int) -> Iterator[Row]:
    for old, new in _MODULES:
        yield old, new, ""
    whole = heads + 2 * shared
    thirds = (
        ("to_q", Rows(0, heads, whole)),
        ("to_k", Rows(heads, heads + shared, whole)),
        ("to_v", Rows(heads + shared, whole, whole)),
    )
    for blocks in ("layers", "noise_refiner", "context_refiner"):
        for old, new in _BLOCK:
            yield f"{blocks}.{{}}.{old}", f"{blocks}.{{}}.{new}", ""
        for name, rows in thirds:
            yield f"{blocks}.{{}}.attention.qkv", f"{blocks}.{{}}.attn.{name}", rows
        # Blocks that read the time have the norm inside of what it sets.
        norm = "norm1" if blocks == "context_refiner" else "norm1.norm"
        yield f"{blocks}.{{}}.attention_norm1", f"{blocks}.{{}}.{norm}", ""
