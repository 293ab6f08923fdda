"""Z-Image: a transformer on a flow that reads Qwen3, and FLUX.1's autoencoder."""

from __future__ import annotations

from graphflow.families.flow.next_dit import NextComponents
from graphflow.families.z_image.config import SHIFT, TEMPLATE
from graphflow.families.z_image.denoiser import ZImageDenoiser
from graphflow.families.z_image.family import FAMILY

COMPONENTS = NextComponents(
    latent=FAMILY.latent,
    transformer=FAMILY.transformer,
    network=ZImageDenoiser,
    shift=SHIFT,
    reads="Qwen3Model",
    file="qwen_3_4b",
    template=TEMPLATE,
)
