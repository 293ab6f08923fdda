"""Stable Diffusion 1.x and 2.x: one text encoder, a UNet, an autoencoder."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from graphflow.families.latent_diffusion.components import LatentDiffusionComponents, tokenizer_of
from graphflow.families.latent_diffusion.text import ClipEncoder, TextModel
from graphflow.families.latent_diffusion.unet import UNetModel
from graphflow.families.stable_diffusion.family import FAMILY
from graphflow.loading.components import FindVectors, Module

_TEXT = "cond_stage_model.transformer."
_OPENCLIP_H_LAYERS = 24
_OPENCLIP_H_WIDTH = 1024


class StableDiffusionComponents(LatentDiffusionComponents):
    """The networks of Stable Diffusion."""

    def denoiser(self, part: Module) -> UNetModel:
        """The UNet.

        Raises:
            ModelFormatError: It needs something that only its own pipeline gives.
        """
        return UNetModel(**self.unet_arguments(part), architecture="stable-diffusion-v1")

    def encoder(
        self,
        parts: tuple[Module, ...],
        *,
        layer: int | None,
        find_embedding: FindVectors,
        tokens: Mapping[str, Mapping[str, Tensor]],
    ) -> TextModel:
        """The text encoder: SD 1.x reads the last layer, SD 2.x the one before it, both through the final norm."""
        (part,) = parts
        encoder = ClipEncoder(
            name=part.name,
            module=part.module,
            tokenizer=tokenizer_of(part),
            device=part.device,
            layer=_layer(part, layer),
            normed=True,
        )
        # The layout of SD 2's encoder leaves open what was left out of it.
        in_sd2 = part.description.family == FAMILY.name and encoder.width == _OPENCLIP_H_WIDTH
        return TextModel(
            encoders=(encoder,),
            find_embedding=find_embedding,
            tokens=tokens,
            saved_under={} if in_sd2 else {part.name: _TEXT},
        )


COMPONENTS = StableDiffusionComponents(latent=FAMILY.latent)


def _layer(part: Module, layer: int | None) -> int:
    if part.description.variant not in ("sd2", "openclip_h"):
        return -1 if layer is None else layer
    # SD 2's last layer is left out of the model, so what counts as last is one further in.
    left_out = part.description.details.get("layers_left_out")
    dropped = bool(left_out) or int(part.config["num_hidden_layers"]) == _OPENCLIP_H_LAYERS - 1
    wanted = -2 if layer is None else layer
    return min(wanted + 1, -1) if dropped else wanted
