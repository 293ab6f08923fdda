"""Z-Image: a transformer on a flow that reads Qwen3, and FLUX.1's autoencoder."""

from __future__ import annotations

from dataclasses import replace

from safetensors import SafetensorError, safe_open
from torch import nn

from graphflow.families.flow.next_dit import NextComponents
from graphflow.families.z_image.config import CONTROL, SHIFT, TEMPLATE
from graphflow.families.z_image.control import ZImageControl
from graphflow.families.z_image.denoiser import ZImageDenoiser
from graphflow.families.z_image.family import FAMILY
from graphflow.loading.components import Module
from graphflow.modelfiles.description import Part

_REFINER = "add_control_noise_refiner"


class ZImageComponents(NextComponents):
    """The networks of Z-Image."""

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        if part.config.get(_REFINER) == "control_noise_refiner" and _is_untrained(part):
            part = replace(part, config={**part.config, _REFINER: "control_layers"})
        return super().build(part)

    def control(self, part: Module) -> ZImageControl:
        """A ControlNet."""
        return ZImageControl(module=part.module, latent=self.latent, device=part.device, dtype=part.dtype)


def _is_untrained(part: Part) -> bool:
    """Whether the layers that refine the picture are zeros, as version 2.0 was published: it has others do that."""
    name = f"{part.prefix}control_noise_refiner.0.before_proj.weight"
    for path in part.files:
        try:
            with safe_open(path, "pt") as file:
                if name in file.keys():  # noqa: SIM118 - no mapping
                    return not bool(file.get_slice(name)[:1].any())
        except (OSError, SafetensorError):  # what is wrong with it is said when its weights are read
            return False
    return False


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
