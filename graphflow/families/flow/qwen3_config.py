"""Qwen3 language models (Yang et al. 2025, arXiv:2505.09388) in weight files: how they are told, and their configs."""

from __future__ import annotations

import re

from graphflow.errors import ModelFormatError
from graphflow.families.flow.encoder_file import EncoderFile
from graphflow.families.flow.names import CausalNames
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

_FIRST = "model.layers.0."
_LAYER = re.compile(r"^model\.layers\.(\d{1,3})\.")
_VARIANTS = {1024: "qwen3_0.6b", 2560: "qwen3_4b", 4096: "qwen3_8b"}


def is_qwen3(shapes: Shapes, prefix: str) -> bool:
    """Tell Qwen3 from its kin: queries are normed, outputs are not, and it has no eyes."""
    first = prefix + _FIRST
    return (
        first + "self_attn.q_norm.weight" in shapes
        and prefix + "model.embed_tokens.weight" in shapes
        and first + "post_feedforward_layernorm.weight" not in shapes
        and not any(name.startswith((prefix + "visual.", prefix + "model.visual.")) for name in shapes)
    )


def infer_qwen3(shapes: Shapes, where: str) -> Inferred:
    """Config of a `Qwen3Model`.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    tokens = shape_of(shapes, "model.embed_tokens.weight", dims=2)
    query, key = (shape_of(shapes, f"{_FIRST}self_attn.{name}_proj.weight", dims=2) for name in "qk")
    norm = shape_of(shapes, _FIRST + "self_attn.q_norm.weight", dims=1)
    inner = shape_of(shapes, _FIRST + "mlp.gate_proj.weight", dims=2)
    if not (tokens and query and key and norm and inner) or query[0] % norm[0] or key[0] % norm[0]:
        raise ModelFormatError("the Qwen3 text encoder lacks embeddings or layers", where=where)
    facts: Config = {
        "vocab_size": tokens[0],
        "hidden_size": tokens[1],
        "intermediate_size": inner[0],
        "num_hidden_layers": len({match[1] for name in shapes if (match := _LAYER.match(name))}),
        "num_attention_heads": query[0] // norm[0],
        "num_key_value_heads": key[0] // norm[0],
        "head_dim": norm[0],
    }
    defaults: Config = {"rope_theta": 1_000_000.0, "rms_norm_eps": 1e-6}
    return Inferred("Qwen3Model", _VARIANTS.get(tokens[1], "qwen3"), facts, defaults, frozenset(defaults))


QWEN3 = EncoderFile(
    classes=("Qwen3Model", "Qwen3ForCausalLM"),
    prefixes=("text_encoders.qwen3_4b.transformer.", ""),
    is_one=is_qwen3,
    infer=infer_qwen3,
    names=CausalNames(),
    tokenizer="qwen2",
    published=("Qwen/Qwen3-4B", "Tongyi-MAI/Z-Image-Turbo:tokenizer"),
)
"""Qwen3, whose vocabulary is that of Qwen2."""
