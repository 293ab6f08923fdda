"""What stands in for files of Lumina 2."""

from __future__ import annotations

from graphflow.families.flow.language_models import GEMMA2
from graphflow.families.flow.stand_ins import AUTOENCODER, HEADS, language_model
from graphflow.families.lumina2.config import VARIANT, schedule
from graphflow.modelfiles.stand_in import StandIn, TinyPart

_HEAD = 24
_TEXT = language_model("Gemma2Model", 2304, GEMMA2.published, query_pre_attn_scalar=256, rope_theta=10_000.0)

STAND_INS = (
    StandIn(
        names=r"lumina.?(image)?.?2|neta.?(yume|lumina)|\byumev",
        variant=VARIANT,
        parts={
            "transformer": TinyPart(
                class_name="Lumina2Transformer2DModel",
                config={
                    "in_channels": 16,
                    "hidden_size": HEADS * _HEAD,
                    "num_layers": 1,
                    "num_refiner_layers": 1,
                    "num_attention_heads": HEADS,
                    "num_kv_heads": 1,
                    "cap_feat_dim": 2304,
                    "axes_dim_rope": [_HEAD // 3] * 3,
                    "axes_lens": [300, 512, 512],
                },
            ),
            "text_encoder": _TEXT,
            "vae": AUTOENCODER,
        },
        scheduler=schedule(VARIANT),
    ),
    StandIn(names=r"gemma.?2.?2b", variant="gemma2_2b", parts={"text_encoder": _TEXT}),
)
