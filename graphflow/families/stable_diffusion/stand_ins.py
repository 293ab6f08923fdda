"""What stands in for files of Stable Diffusion 1.x and 2.x."""

from __future__ import annotations

from graphflow.families.latent_diffusion.stand_ins import (
    CLIP_H,
    CLIP_L,
    MOTION,
    SHARED,
    VIT_H,
    autoencoder,
    controlnet,
    ip_adapter,
    ip_adapters,
    unet,
    unet_schedule,
)
from graphflow.modelfiles.stand_in import StandIn

_VAE = autoencoder(4, 0.18215)
_FIRST = {
    "text_encoder": CLIP_L,
    "vae": _VAE,
    "controlnet": controlnet(768),
    "ip_adapter": ip_adapter(768, VIT_H[1]),
    "adapter": MOTION,
}

STAND_INS = (
    StandIn(
        names=r"sd.?1[._-]?[45]|v1-5|stable.?diffusion.?v?1|dreamshaper|realistic.?vision",
        variant="sd1",
        parts={"unet": unet(768), **_FIRST},
        scheduler=unet_schedule(),
    ),
    StandIn(
        names=r"(sd.?1[._-]?5|v1-5).*inpaint",
        variant="sd1",
        task="inpaint",
        parts={"unet": unet(768, inputs=9), **_FIRST},
        scheduler=unet_schedule(),
    ),
    StandIn(
        names=r"sd.?2[._-]?[01]|v2-1|768-v-ema|stable.?diffusion.?v?2",
        variant="sd2",
        parts={"unet": unet(1024), "text_encoder": CLIP_H, "vae": _VAE, "controlnet": controlnet(1024)},
        scheduler=unet_schedule("v_prediction"),
    ),
    StandIn(
        names=r"lotus",
        variant="sd2",
        task="estimate",
        parts={"unet": unet(1024, vector=4), "text_encoder": CLIP_H, "vae": _VAE},
        scheduler=unet_schedule("sample"),
    ),
    StandIn(names=r"lotus", variant="openclip_h", parts={"text_encoder": CLIP_H}),
    StandIn(names=r"vae-ft|\bsd.?vae|kl-f8|orangemix|blessed", parts={"vae": _VAE}),
    StandIn(
        names=r"(^|/)mm_|motion.?(module|model|adapter)|animatediff|animatelcm|sd15.?_?mm", parts={"adapter": MOTION}
    ),
    *ip_adapters(r"sd.?1[._-]?5|(?<![a-z])v?1[._-]5", 768, VIT_H[1]),
    *SHARED,
)
