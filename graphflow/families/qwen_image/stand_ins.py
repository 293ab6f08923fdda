"""What stands in for files of Qwen-Image."""

from __future__ import annotations

from graphflow.families.flow.stand_ins import HEADS, INNER, language_model
from graphflow.families.qwen_image.config import TEXT_CLASSES, VAE_CLASSES, schedule
from graphflow.modelfiles.stand_in import StandIn, TinyPart

_SEEN = {"depth": 1, "hidden_size": INNER, "intermediate_size": INNER, "num_heads": 1, "out_hidden_size": 3584}
_LANGUAGE = language_model(TEXT_CLASSES[0], 3584, rope_theta=1e6)
_TEXT = TinyPart(
    class_name=_LANGUAGE.class_name, config={**_LANGUAGE.config, "vision_config": {**_SEEN}}, tokenizer="pieces"
)
_VAE = TinyPart(
    class_name=VAE_CLASSES[0],
    config={
        "base_dim": 8,
        "z_dim": 16,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
    },
)


_CLEAR = TinyPart(class_name=_VAE.class_name, config={**_VAE.config, "input_channels": 4})
"""That of Qwen-Image-Layered, with alpha."""


def _model(names: str, variant: str, *, time_zero: bool = False, layered: bool = False) -> StandIn:
    transformer = TinyPart(
        class_name="QwenImageTransformer2DModel",
        config={
            "patch_size": 2,
            "in_channels": 64,
            "out_channels": 16,
            "num_layers": 1,
            "attention_head_dim": 32,
            "num_attention_heads": HEADS,
            "joint_attention_dim": 3584,
            "axes_dims_rope": [8, 12, 12],
            "zero_cond_t": time_zero,
            "use_additional_t_cond": layered,
        },
    )
    return StandIn(
        names=names,
        variant=variant,
        parts={"transformer": transformer, "text_encoder": _TEXT, "vae": _CLEAR if layered else _VAE},
        scheduler=schedule(variant),
    )


STAND_INS = (
    _model(r"qwen.?image(?!.?2\.1|.?layered)|firered.?image", "qwen_image"),
    _model(r"qwen.?image.?edit.?2511", "qwen_image_edit_2511", time_zero=True),
    _model(r"qwen.?image.?layered", "qwen_image", layered=True),
    StandIn(names=r"qwen.?2[._]?5.?vl", variant="qwen2_5_vl", parts={"text_encoder": _TEXT}),
    StandIn(names=r"qwen.?image.?vae", parts={"vae": _VAE}),
    StandIn(names=r"qwen.?image.?layered.?vae", parts={"vae": _CLEAR}),
)
