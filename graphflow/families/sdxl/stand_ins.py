"""What stands in for files of SDXL."""

from __future__ import annotations

from graphflow.families.latent_diffusion.stand_ins import (
    CLIP_G,
    CLIP_L,
    FACE_WIDTH,
    VIT_G,
    VIT_H,
    autoencoder,
    controlnet,
    ip_adapter,
    ip_adapters,
    unet,
    unet_schedule,
)
from graphflow.modelfiles.stand_in import StandIn

_VAE = autoencoder(4, 0.13025)
_POOLED, _NUMBER = 1280, 256
_BASE, _REFINER = _POOLED + 6 * _NUMBER, _POOLED + 5 * _NUMBER

STAND_INS = (
    StandIn(
        names=r"sd.?xl|(?<![a-z])xl(?![a-z])|pony|illustrious|noob|juggernaut",
        variant="sdxl",
        parts={
            "unet": unet(2048, sizes=_BASE),
            "text_encoder": CLIP_L,
            "text_encoder_2": CLIP_G,
            "vae": _VAE,
            "controlnet": controlnet(2048, sizes=_BASE),
            "ip_adapter": ip_adapter(2048, VIT_H[1], sizes=_BASE),
        },
        scheduler=unet_schedule(),
    ),
    StandIn(
        names=r"(sd.?)?xl.*refiner",
        variant="sdxl_refiner",
        parts={"unet": unet(1280, sizes=_REFINER), "text_encoder_2": CLIP_G, "vae": _VAE},
        scheduler=unet_schedule(),
    ),
    *ip_adapters("xl", 2048, VIT_G[1], sizes=_BASE),
    StandIn(
        names=r"instant.?id.*",
        parts={
            "ip_adapter": ip_adapter(2048, FACE_WIDTH, sizes=_BASE, projection="resampler"),
            "controlnet": controlnet(2048, sizes=_BASE),
        },
    ),
    StandIn(names=r"sd.?xl.?vae", parts={"vae": _VAE}),
)
