"""Tiny language models and autoencoders that stand in for files of flow transformers which are not there."""

from __future__ import annotations

from graphflow.families.latent_diffusion.stand_ins import autoencoder
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.stand_in import TOKENS, TinyPart

HEADS, HEAD, AXES = 2, 16, [4, 6, 6]
"""Of a tiny transformer's attention: heads, channels of each, and how three axes of positions share them."""
INNER = 64
_LANGUAGE_HEAD = 128

T5 = TinyPart(
    class_name="T5EncoderModel",
    config={
        "vocab_size": TOKENS,
        "d_model": 4096,
        "d_kv": INNER,
        "d_ff": INNER,
        "num_layers": 1,
        "num_heads": 1,
        "relative_attention_num_buckets": 32,
        "feed_forward_proj": "gated-gelu",
        "layer_norm_epsilon": 1e-6,
    },
    tokenizer="pieces",
)
AUTOENCODER = autoencoder(16, 0.3611, 0.1159)
"""FLUX.1's, which several families share."""


def language_model(class_name: str, width: int, **further: int | float) -> TinyPart:
    """A language model whose states have a width; the layer before its last may be read."""
    config: Config = {
        "vocab_size": TOKENS,
        "hidden_size": width,
        "intermediate_size": INNER,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": _LANGUAGE_HEAD,
        "rms_norm_eps": 1e-6,
        **further,
    }
    return TinyPart(class_name=class_name, config=config, tokenizer="pieces")


def deep_language_model(class_name: str, width: int, **further: int | float) -> TinyPart:
    """A language model of many narrow layers, of which some in the middle are read."""
    return language_model(class_name, width, num_hidden_layers=30, head_dim=HEAD, intermediate_size=HEAD, **further)


QWEN3_4B = deep_language_model("Qwen3Model", 2560, rope_theta=1e6)
"""Qwen3 with 4 billion weights, which several families read."""


def bfl_transformer(class_name: str, inputs: int = 64, **further: int | bool) -> TinyPart:
    """A transformer built as FLUX.1's."""
    config: Config = {
        "patch_size": 1,
        "in_channels": inputs,
        "out_channels": 64,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": HEAD,
        "num_attention_heads": HEADS,
        "joint_attention_dim": 4096,
        "axes_dims_rope": [*AXES],
        **further,
    }
    return TinyPart(class_name=class_name, config=config)
