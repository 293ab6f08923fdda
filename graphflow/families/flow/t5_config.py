"""T5 text encoders (Raffel et al. 2020, arXiv:1910.10683) in weight files: where they stand, and their configs."""

from __future__ import annotations

import re

from graphflow.errors import ModelFormatError
from graphflow.families.flow.encoder_file import EncoderFile
from graphflow.families.flow.names import T5Names
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

_MARK = "encoder.block.0.layer.0.SelfAttention.q.weight"
_LAYER = re.compile(r"^encoder\.block\.(\d{1,3})\.")


def infer_t5(shapes: Shapes, where: str) -> Inferred:
    """Config of a `T5EncoderModel`.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    first = "encoder.block.0.layer.0.SelfAttention."
    tokens = shape_of(shapes, "shared.weight", "encoder.embed_tokens.weight", dims=2)
    query = shape_of(shapes, first + "q.weight", dims=2)
    bias = shape_of(shapes, first + "relative_attention_bias.weight", dims=2)
    gated = shape_of(shapes, "encoder.block.0.layer.1.DenseReluDense.wi_0.weight", dims=2)
    inner = gated or shape_of(shapes, "encoder.block.0.layer.1.DenseReluDense.wi.weight", dims=2)
    if not (tokens and query and bias and inner):
        raise ModelFormatError("the T5 encoder lacks embeddings or layers", where=where)
    facts: Config = {
        "vocab_size": tokens[0],
        "d_model": tokens[1],
        "d_kv": query[0] // bias[1],
        "d_ff": inner[0],
        "num_layers": len({match[1] for name in shapes if (match := _LAYER.match(name))}),
        "num_heads": bias[1],
        "relative_attention_num_buckets": bias[0],
        "feed_forward_proj": "gated-gelu" if gated else "relu",
    }
    return Inferred(
        "T5EncoderModel",
        "t5_xxl" if tokens[1] == 4096 else "t5",
        facts,
        {"layer_norm_epsilon": 1e-6},
        frozenset({"layer_norm_epsilon"}),
    )


T5 = EncoderFile(
    classes=("T5EncoderModel",),
    prefixes=("text_encoders.t5xxl.transformer.", ""),
    is_one=lambda shapes, prefix: prefix + _MARK in shapes,
    infer=infer_t5,
    names=T5Names(),
    tokenizer="t5",
    published=(
        "google/t5-v1_1-xxl",
        "black-forest-labs/FLUX.1-schnell:tokenizer_2",
        "stabilityai/stable-diffusion-3-medium-diffusers:tokenizer_3",
        "stabilityai/stable-diffusion-3.5-medium:tokenizer_3",
        "stabilityai/stable-diffusion-3.5-large:tokenizer_3",
    ),
    inside="spiece_model",
)
"""T5 v1.1 and its kin."""
