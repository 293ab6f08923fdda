"""What stands in for files of Qwen-Image 2.1."""

from __future__ import annotations

from graphflow.families.flow.qwen3_vl import QWEN3_VL
from graphflow.families.flow.stand_ins import HEADS, INNER, language_model
from graphflow.families.qwen_image_21.config import VAE_CLASS, schedule
from graphflow.modelfiles.stand_in import SPECIAL, StandIn, TinyPart

_WIDTH = 4096
_LANGUAGE = language_model(
    QWEN3_VL.classes[0],
    _WIDTH,
    QWEN3_VL.published,
    rope_parameters={"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2]},
)
_TEXT = TinyPart(
    class_name=QWEN3_VL.classes[0],
    config={
        "text_config": dict(_LANGUAGE.config),
        "image_token_id": SPECIAL.index("<|image_pad|>"),
        "vision_config": {
            "depth": 2,
            "hidden_size": INNER,
            "intermediate_size": INNER,
            "num_heads": 2,
            "out_hidden_size": _WIDTH,
            "patch_size": 16,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0, 1],
        },
    },
    tokenizer="pieces",
    published=QWEN3_VL.published,
)
_VAE = TinyPart(
    class_name=VAE_CLASS,
    config={"base_dim": 4, "decoder_base_dim": 4, "dim_mult": [1, 2, 2, 2, 2], "num_res_blocks": 1},
)
_TRANSFORMER = TinyPart(
    class_name="QwenImage21Transformer2DModel",
    config={
        "num_layers": 1,
        "attention_head_dim": 32,
        "num_attention_heads": HEADS,
        "context_in_dim": _WIDTH,
        "axes_dims_rope": [4, 14, 14],
    },
)

STAND_INS = (
    StandIn(
        names=r"qwen.?image.?2[._]?1",
        variant="qwen_image_21",
        parts={"transformer": _TRANSFORMER, "text_encoder": _TEXT, "vae": _VAE},
        scheduler=schedule("qwen_image_21"),
    ),
    StandIn(names=r"qwen.?3.?vl", variant="qwen3_vl", parts={"text_encoder": _TEXT}),
    StandIn(names=r"qwen.?image.?2[._]?1.?vae", parts={"vae": _VAE}),
)
