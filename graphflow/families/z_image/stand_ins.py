"""What stands in for files of Z-Image."""

from __future__ import annotations

from graphflow.families.flow.stand_ins import AUTOENCODER, AXES, HEAD, HEADS, QWEN3_4B
from graphflow.families.z_image.config import VARIANT, schedule
from graphflow.modelfiles.stand_in import StandIn, TinyPart

STAND_INS = (
    StandIn(
        names=r"z.?image",
        variant=VARIANT,
        parts={
            "transformer": TinyPart(
                class_name="ZImageTransformer2DModel",
                config={
                    "in_channels": 16,
                    "dim": HEADS * HEAD,
                    "n_layers": 1,
                    "n_refiner_layers": 1,
                    "n_heads": HEADS,
                    "n_kv_heads": HEADS,
                    "cap_feat_dim": 2560,
                    "axes_dims": [*AXES],
                    "axes_lens": [1536, 512, 512],
                },
            ),
            "text_encoder": QWEN3_4B,
            "vae": AUTOENCODER,
        },
        scheduler=schedule(VARIANT),
    ),
    StandIn(names=r"qwen.?3.?4b", variant="qwen3_4b", parts={"text_encoder": QWEN3_4B}),
)
