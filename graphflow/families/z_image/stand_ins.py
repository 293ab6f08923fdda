"""What stands in for files of Z-Image."""

from __future__ import annotations

from graphflow.families.flow.stand_ins import AUTOENCODER, AXES, HEAD, HEADS, qwen3
from graphflow.families.z_image.config import CONTROL, VARIANT, schedule
from graphflow.modelfiles.stand_in import StandIn, TinyPart

_TEXT = qwen3(2560)
_CONTROL = TinyPart(
    class_name=CONTROL,
    config={
        "control_in_dim": 16 + 1 + 16,  # the picture, and what is known of one to fill in
        "dim": HEADS * HEAD,
        "n_heads": HEADS,
        "n_kv_heads": HEADS,
        "n_refiner_layers": 1,
        "add_control_noise_refiner": "control_noise_refiner",
        "control_refiner_layers_places": [0],
        "control_layers_places": [0],
    },
)

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
            "text_encoder": _TEXT,
            "vae": AUTOENCODER,
            "controlnet": _CONTROL,
        },
        scheduler=schedule(VARIANT),
    ),
    StandIn(names=r"qwen.?3.?4b", variant="qwen3_4b", parts={"text_encoder": _TEXT}),
)
