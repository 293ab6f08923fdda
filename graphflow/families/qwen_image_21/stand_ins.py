"""What stands in for files of Qwen-Image 2.1."""

from __future__ import annotations

from graphflow.families.flow.qwen3_vl import QWEN3_VL
from graphflow.families.flow.stand_ins import AXES, HEAD, HEADS, INNER
from graphflow.families.qwen_image_21.config import VAE_CLASS, schedule
from graphflow.modelfiles.stand_in import TOKENS, StandIn, TinyPart

_VARIANT = "qwen_image_21"
_TEXT = TinyPart(
    class_name=QWEN3_VL.classes[0],
    config={
        "text_config": {
            "vocab_size": TOKENS,
            "hidden_size": 4096,
            "intermediate_size": INNER,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
            "head_dim": HEAD,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2]},
        },
        "vision_config": {
            "depth": 1,
            "hidden_size": INNER,
            "intermediate_size": INNER,
            "num_heads": 1,
            "out_hidden_size": 4096,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
    },
    tokenizer="pieces",
)
_VAE = TinyPart(
    class_name=VAE_CLASS,
    config={"base_dim": 8, "decoder_base_dim": 8, "z_dim": 64, "dim_mult": [1] * 5, "num_res_blocks": 1},
)

STAND_INS = (
    StandIn(
        names=r"qwen.?image.?2[._]?1",
        variant=_VARIANT,
        parts={
            "transformer": TinyPart(
                class_name="QwenImage21Transformer2DModel",
                config={
                    "num_layers": 1,
                    "attention_head_dim": HEAD,
                    "num_attention_heads": HEADS,
                    "context_in_dim": 4096,
                    "axes_dims_rope": [*AXES],
                },
            ),
            "text_encoder": _TEXT,
            "vae": _VAE,
        },
        scheduler=schedule(_VARIANT),
    ),
    StandIn(names=r"qwen.?3.?vl.?8b", variant="qwen3_vl", parts={"text_encoder": _TEXT}),
    StandIn(names=r"qwen.?image.?2[._]?1.*vae", parts={"vae": _VAE}),
)
