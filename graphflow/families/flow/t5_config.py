"""T5 text encoders (Raffel et al. 2020, arXiv:1910.10683) in weight files: where they stand, and their configs."""

from __future__ import annotations

import re

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, TokenizerSpec
from graphflow.modelfiles.draft import Draft
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

PREFIXES = ("text_encoders.t5xxl.transformer.", "")
_MARK = "encoder.block.0.layer.0.SelfAttention.q.weight"
_LAYER = re.compile(r"^encoder\.block\.(\d{1,3})\.")
_PUBLISHED = (
    "google/t5-v1_1-xxl",
    "black-forest-labs/FLUX.1-schnell:tokenizer_2",
    "stabilityai/stable-diffusion-3-medium-diffusers:tokenizer_3",
    "stabilityai/stable-diffusion-3.5-medium:tokenizer_3",
    "stabilityai/stable-diffusion-3.5-large:tokenizer_3",
)
_INSIDE = "spiece_model"


def t5_prefix(shapes: Shapes) -> str | None:
    """The prefix of a T5 encoder's tensors; None where there is none."""
    return next((prefix for prefix in PREFIXES if prefix + _MARK in shapes), None)


def add_t5(draft: Draft, name: str) -> Inferred:
    """Add a file's T5 encoder to its description, with its tokenizer.

    Args:
        draft: The description while it is made.
        name: What the part is called.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    prefix = t5_prefix(draft.shapes) or ""
    inferred = infer_t5(draft.under(prefix), draft.where)
    draft.add(name, inferred, prefix)
    inside = prefix + _INSIDE in draft.shapes
    draft.tokenizers.append(
        TokenizerSpec(
            name,
            "weights" if inside else "missing",
            {},
            path=draft.weights.path if inside else None,
            name="t5",
            published=_PUBLISHED,
        )
    )
    return inferred


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
