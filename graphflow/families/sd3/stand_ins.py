"""What stands in for files of Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from graphflow.families.flow.stand_ins import T5
from graphflow.families.latent_diffusion.stand_ins import CLIP_G, CLIP_L, autoencoder
from graphflow.families.sd3.config import HEAD, schedule
from graphflow.families.sd3.control_config import CONTROL
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.stand_in import StandIn, TinyPart

_CONTROL = TinyPart(
    class_name=CONTROL,
    config={
        "num_layers": 1,
        "attention_head_dim": HEAD,
        "num_attention_heads": 1,
        "joint_attention_dim": 4096,
        "caption_projection_dim": HEAD,
        "pooled_projection_dim": 768 + 1280,
        "pos_embed_max_size": 192,
    },
)


def _model(names: str, variant: str, places: int, further: Config) -> StandIn:
    config: Config = {
        "patch_size": 2,
        "in_channels": 16,
        "out_channels": 16,
        "num_layers": 2,
        "attention_head_dim": HEAD,
        "num_attention_heads": 1,
        "joint_attention_dim": 4096,
        "caption_projection_dim": HEAD,
        "pooled_projection_dim": 768 + 1280,
        "pos_embed_max_size": places,
        **further,
    }
    return StandIn(
        names=names,
        variant=variant,
        parts={
            "transformer": TinyPart(class_name="SD3Transformer2DModel", config=config),
            "text_encoder": CLIP_L,
            "text_encoder_2": CLIP_G,
            "text_encoder_3": T5,
            "vae": autoencoder(16, 1.5305, 0.0609),
            "controlnet": _CONTROL,
        },
        scheduler=schedule(variant),
    )


STAND_INS = (
    _model(r"sd.?3[._]?5|stable.?diffusion.?3\.5", "sd35_large", 192, {"qk_norm": "rms_norm"}),
    _model(r"(sd.?3[._]?5|diffusion.?3\.5).*medium", "sd35_medium", 384,
           {"qk_norm": "rms_norm", "dual_attention_layers": [0]}),
    _model(r"sd.?3.?(medium)?|stable.?diffusion.?3", "sd3", 192, {}),
)  # fmt: skip
