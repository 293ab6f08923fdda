"""Language models in weight files whose states condition pictures: how they are told, and their configs.

Qwen3: Yang et al. 2025, arXiv:2505.09388. Gemma 2: Gemma Team 2024, arXiv:2408.00118. Mistral Small 3: Mistral AI 2025.
"""

from __future__ import annotations

import re

from graphflow.errors import ModelFormatError
from graphflow.families.flow.encoder_file import EncoderFile
from graphflow.families.flow.names import CausalNames
from graphflow.families.flow.tekken import TEKKEN
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

_FIRST = "model.layers.0."
_LAYER = re.compile(r"^model\.layers\.(\d{1,3})\.")
_QWEN3 = {1024: "qwen3_0.6b", 2560: "qwen3_4b", 4096: "qwen3_8b"}
_GEMMA2_HEAD = 256
"""Channels of a head of Gemma 2 with 2 or 9 billion weights, which no tensor tells."""
_MISTRAL3_HEAD = 128
_MISTRAL3_TOKENS = (131072, 5120)
"""Channels of a head, and tokens with their channels, of Mistral Small 3."""


def _is_qwen3(shapes: Shapes, prefix: str) -> bool:
    return _has(shapes, prefix, normed_queries=True, normed_outputs=False)


def _is_gemma2(shapes: Shapes, prefix: str) -> bool:
    return _has(shapes, prefix, normed_queries=False, normed_outputs=True)


def _is_mistral3(shapes: Shapes, prefix: str) -> bool:
    tokens = shapes.get(f"{prefix}model.embed_tokens.weight")
    # Models of the Llama kind have tensors of the same names, and no other one these sizes, or a vocabulary of this make.
    mine = tokens == _MISTRAL3_TOKENS or any(name.rpartition(".")[2] == TEKKEN for name in shapes)
    return mine and _has(shapes, prefix, normed_queries=False, normed_outputs=False)


def _has(shapes: Shapes, prefix: str, *, normed_queries: bool, normed_outputs: bool) -> bool:
    first = prefix + _FIRST
    return (
        first + "self_attn.q_proj.weight" in shapes
        and (first + "self_attn.q_norm.weight" in shapes) == normed_queries
        and (first + "post_feedforward_layernorm.weight" in shapes) == normed_outputs
        and first + "self_attn.q_proj.bias" not in shapes
        # Those with eyes are others.
        and not any(name.startswith((prefix + "visual.", prefix + "model.visual.")) for name in shapes)
    )


def _infer_qwen3(shapes: Shapes, where: str) -> Inferred:
    norm = shape_of(shapes, _FIRST + "self_attn.q_norm.weight", dims=1)
    facts = _facts(shapes, norm[0] if norm else 0, where)
    defaults: Config = {"rope_theta": 1_000_000.0, "rms_norm_eps": 1e-6}
    variant = _QWEN3.get(int(str(facts["hidden_size"])), "qwen3")
    return Inferred("Qwen3Model", variant, facts, defaults, frozenset(defaults))


def _infer_gemma2(shapes: Shapes, where: str) -> Inferred:
    facts = _facts(shapes, _GEMMA2_HEAD, where)
    defaults: Config = {"rope_theta": 10_000.0, "rms_norm_eps": 1e-6, "query_pre_attn_scalar": _GEMMA2_HEAD}
    variant = "gemma2_2b" if facts["hidden_size"] == 2304 else "gemma2"
    return Inferred("Gemma2Model", variant, facts, defaults, frozenset(defaults))


def _infer_mistral3(shapes: Shapes, where: str) -> Inferred:
    facts = _facts(shapes, _MISTRAL3_HEAD, where)
    defaults: Config = {"rope_theta": 1_000_000_000.0, "rms_norm_eps": 1e-5, "sliding_window": None}
    return Inferred("MistralModel", "mistral_small_3", facts, defaults, frozenset(defaults))


def _facts(shapes: Shapes, head: int, where: str) -> Config:
    tokens = shape_of(shapes, "model.embed_tokens.weight", dims=2)
    query, key = (shape_of(shapes, f"{_FIRST}self_attn.{name}_proj.weight", dims=2) for name in "qk")
    inner = shape_of(shapes, _FIRST + "mlp.gate_proj.weight", dims=2)
    if not (tokens and query and key and inner and head) or query[0] % head or key[0] % head:
        raise ModelFormatError("the language model lacks embeddings or layers", where=where)
    return {
        "vocab_size": tokens[0],
        "hidden_size": tokens[1],
        "intermediate_size": inner[0],
        "num_hidden_layers": len({match[1] for name in shapes if (match := _LAYER.match(name))}),
        "num_attention_heads": query[0] // head,
        "num_key_value_heads": key[0] // head,
        "head_dim": head,
    }


QWEN3 = EncoderFile(
    classes=("Qwen3Model", "Qwen3ForCausalLM"),
    prefixes=("text_encoders.qwen3_4b.transformer.", "text_encoders.qwen3_8b.transformer.", ""),
    is_one=_is_qwen3,
    infer=_infer_qwen3,
    names=CausalNames(),
    tokenizer="qwen2",
    published=("Qwen/Qwen3-4B", "Tongyi-MAI/Z-Image-Turbo:tokenizer", "black-forest-labs/FLUX.2-klein-4B:tokenizer"),
)
"""Qwen3, whose vocabulary is that of Qwen2."""

GEMMA2 = EncoderFile(
    classes=("Gemma2Model", "Gemma2ForCausalLM"),
    prefixes=("text_encoders.gemma2_2b.transformer.", ""),
    is_one=_is_gemma2,
    infer=_infer_gemma2,
    names=CausalNames(),
    tokenizer="gemma2",
    published=("Alpha-VLLM/Lumina-Image-2.0:tokenizer", "google/gemma-2-2b"),
    inside="spiece_model",
)
"""Gemma 2."""

MISTRAL3 = EncoderFile(
    classes=("MistralModel", "Mistral3ForConditionalGeneration"),
    prefixes=("text_encoders.mistral3_24b.transformer.", ""),
    is_one=_is_mistral3,
    infer=_infer_mistral3,
    names=CausalNames(),
    tokenizer="mistral3",
    published=("black-forest-labs/FLUX.2-dev:tokenizer", "mistralai/Mistral-Small-3.2-24B-Instruct-2506"),
    inside=TEKKEN,
)
"""Mistral Small 3, of whose published files the network that sees pictures is left alone."""
