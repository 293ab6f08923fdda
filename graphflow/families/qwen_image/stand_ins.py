"""What stands in for files of Qwen-Image."""

from __future__ import annotations

from graphflow.families.flow.stand_ins import HEADS, INNER, language_model
from graphflow.families.qwen_image.config import BLOCKWISE, CONTROL, PUBLISHED, TEXT_CLASSES, VAE_CLASSES, schedule
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.stand_in import StandIn, TinyPart

_HEAD = 32

_SEEN = {"depth": 1, "hidden_size": INNER, "intermediate_size": INNER, "num_heads": 1, "out_hidden_size": 3584}
_LANGUAGE = language_model(TEXT_CLASSES[0], 3584, PUBLISHED, rope_theta=1e6, head_dim=128)
_TEXT = TinyPart(
    class_name=_LANGUAGE.class_name,
    config={**_LANGUAGE.config, "vision_config": {**_SEEN}},
    tokenizer="pieces",
    published=PUBLISHED,
)


def _vae(channels: int) -> TinyPart:
    return TinyPart(
        class_name=VAE_CLASSES[0],
        config={
            "base_dim": 8,
            "z_dim": 16,
            "dim_mult": [1, 1, 1, 1],
            "num_res_blocks": 1,
            "temperal_downsample": [False, True, True],
            "input_channels": channels,
        },
    )


_BLOCKS: Config = {
    "patch_size": 2,
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 1,
    "attention_head_dim": _HEAD,
    "num_attention_heads": HEADS,
    "joint_attention_dim": 3584,
    "axes_dims_rope": [8, 12, 12],
}
_MASK = 4
"""Channels of a token that tell what is to be filled in."""


def _model(names: str, variant: str, vae: TinyPart, **further: bool) -> StandIn:
    return StandIn(
        names=names,
        variant=variant,
        parts={
            "transformer": TinyPart(class_name="QwenImageTransformer2DModel", config={**_BLOCKS, **further}),
            "text_encoder": _TEXT,
            "vae": vae,
            "controlnet": _control(0)["controlnet"],
        },
        scheduler=schedule(variant),
    )


def _control(further: int) -> dict[str, TinyPart]:
    return {"controlnet": TinyPart(class_name=CONTROL, config={**_BLOCKS, "extra_condition_channels": further})}


def _blockwise(further: int) -> dict[str, TinyPart]:
    config: Config = {"reads": 64 + further, "width": HEADS * _HEAD, "layers": 1}
    return {"controlnet": TinyPart(class_name=BLOCKWISE, config=config)}


_OPAQUE, _TRANSPARENT = _vae(3), _vae(4)

STAND_INS = (
    _model(r"qwen.?image(?!.?2\.1)|firered.?image", "qwen_image", _OPAQUE),
    _model(r"qwen.?image.?edit.?2511", "qwen_image_edit_2511", _OPAQUE, zero_cond_t=True),
    _model(r"qwen.?image.?layered", "qwen_image", _TRANSPARENT, use_additional_t_cond=True),
    StandIn(names=r"qwen.?2[._]?5.?vl", variant="qwen2_5_vl", parts={"text_encoder": _TEXT}),
    StandIn(names=r"qwen.?image.?vae", parts={"vae": _OPAQUE}),
    StandIn(names=r"qwen.?image.?layered.?vae", parts={"vae": _TRANSPARENT}),
    StandIn(names=r"qwen.?image.*instantx.*inpaint", parts=_control(_MASK)),
    StandIn(names=r"qwen.?image.*diffsynth", parts=_blockwise(0)),
    StandIn(names=r"qwen.?image.*inpaint.*diffsynth", parts=_blockwise(_MASK)),
)
