"""Tiny language models and autoencoders that stand in for files of flow transformers which are not there."""

from __future__ import annotations

from graphflow.families.flow import t5_config
from graphflow.families.flow.language_models import QWEN3
from graphflow.families.latent_diffusion.stand_ins import autoencoder
from graphflow.modelfiles.description import Config, JsonValue
from graphflow.modelfiles.stand_in import TOKENS, TinyPart

HEADS, HEAD, AXES = 2, 16, [4, 6, 6]
"""Of a tiny transformer's attention: heads, channels of each, and how three axes of positions share them."""
INNER = 64
_SLIM = 16

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
    published=t5_config.T5.published,
)
AUTOENCODER = autoencoder(16, 0.3611, 0.1159)
"""FLUX.1's, which several families share."""


def language_model(
    class_name: str, width: int, published: tuple[str, ...], *, layers: int = 2, **further: JsonValue
) -> TinyPart:
    """A language model whose states have a width, of so many layers as the families need that read it."""
    config: Config = {
        "vocab_size": TOKENS,
        "hidden_size": width,
        "intermediate_size": _SLIM,
        "num_hidden_layers": layers,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": _SLIM,
        "rms_norm_eps": 1e-6,
        **further,
    }
    return TinyPart(class_name=class_name, config=config, tokenizer="pieces", published=published)


def qwen3(width: int) -> TinyPart:
    """A Qwen3; FLUX.2 reads its layer 27."""
    return language_model("Qwen3Model", width, QWEN3.published, layers=28, rope_theta=1_000_000.0)


def bfl_transformer(class_name: str, inputs: int = 64, **further: int | bool | None) -> TinyPart:
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
