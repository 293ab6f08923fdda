"""Z-Image: a transformer on a flow that reads Qwen3, and FLUX.1's autoencoder."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from graphflow.families.flow.next_dit import NextComponents
from graphflow.families.z_image.config import CONTROL, SHIFT, TEMPLATE, settled_control
from graphflow.families.z_image.control import ZImageControl
from graphflow.families.z_image.denoiser import ZImageDenoiser
from graphflow.families.z_image.family import FAMILY
from graphflow.loading.components import Module
from graphflow.modelfiles.description import Part


class ZImageComponents(NextComponents):
    """The networks of Z-Image."""

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        return super().build(replace(part, config=settled_control(part)))

    def control(self, part: Module) -> ZImageControl:
        """A ControlNet."""
        return ZImageControl(module=part.module, latent=self.latent, device=part.device, dtype=part.dtype)


COMPONENTS = ZImageComponents(
    latent=FAMILY.latent,
    transformer=FAMILY.transformer,
    further=(CONTROL,),
    network=ZImageDenoiser,
    shift=SHIFT,
    reads="Qwen3Model",
    file="qwen_3_4b",
    template=TEMPLATE,
)
