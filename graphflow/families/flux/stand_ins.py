"""What stands in for files of FLUX.1, and for encoders and the autoencoder that others share with it."""

from __future__ import annotations

from graphflow.families.flow.stand_ins import AUTOENCODER, HEAD, HEADS, T5, bfl_transformer
from graphflow.families.flux.config import MASK, PATCH, schedule
from graphflow.families.flux.control_config import CONTROL
from graphflow.families.flux.ip_adapter_config import IP_ADAPTER
from graphflow.families.flux.style import REDUX
from graphflow.families.flux.style_projector_config import STYLE_PROJECTOR
from graphflow.families.latent_diffusion.stand_ins import CLIP_L, SIGLIP_WIDTH, VIT_L
from graphflow.modelfiles.stand_in import StandIn, TinyPart


def _control(kinds: int | None) -> TinyPart:
    return bfl_transformer(CONTROL, pooled_projection_dim=768, guidance_embeds=True, num_mode=kinds, out_channels=None)


_IP_ADAPTER = TinyPart(
    class_name=IP_ADAPTER,
    config={
        "projection": "plain",
        "image_width": VIT_L[1],
        "cross_attention_dim": 4096,
        "layers": [HEADS * HEAD],
        "tokens": 4,
        "bias": True,
    },
)


def _model(names: str, variant: str, task: str = "generate", inputs: int = PATCH) -> StandIn:
    guided = variant != "flux_schnell"
    transformer = bfl_transformer("FluxTransformer2DModel", inputs, pooled_projection_dim=768, guidance_embeds=guided)
    return StandIn(
        names=names,
        variant=variant,
        task=task,
        parts={
            "transformer": transformer,
            "text_encoder": CLIP_L,
            "text_encoder_2": T5,
            "vae": AUTOENCODER,
            "controlnet": _control(None),
            "ip_adapter": _IP_ADAPTER,
        },
        scheduler=schedule(variant),
    )


STAND_INS = (
    _model(r"(?<!pid_)flux[._-]?1?(?![._-]?[23])", "flux_dev"),
    _model(r"flux.*schnell", "flux_schnell"),
    _model(r"flux.*fill", "flux_fill", "inpaint", 2 * PATCH + MASK),
    _model(r"flux.*(canny|depth)", "flux_control", "control", 2 * PATCH),
    StandIn(names=r"t5.?xxl|t5-v1_1-xxl", variant="t5_xxl", parts={"text_encoder": T5}),
    StandIn(names=r"flux.*union", parts={"controlnet": _control(10)}),
    StandIn(
        names=r"redux",
        parts={"style_model": TinyPart(class_name=REDUX, config={"redux_dim": SIGLIP_WIDTH, "txt_in_features": 4096})},
    ),
    StandIn(
        names=r"uso.*projector",
        parts={
            "style_projector": TinyPart(
                class_name=STYLE_PROJECTOR,
                config={"reads": 729, "tokens": 4, "width": SIGLIP_WIDTH, "makes": HEADS * HEAD},
            )
        },
    ),
    StandIn(names=r"flux.*ip.?adapter", parts={"ip_adapter": _IP_ADAPTER}),
    StandIn(names=r"(^|/)ae(\.|$)|flux[._-]?1?[._-]?(vae|ae)", parts={"vae": AUTOENCODER}),
)
