"""Stable Diffusion 1.x and 2.x: one text encoder, a UNet, an autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from graphflow.families.latent_diffusion.control import Net
from graphflow.families.latent_diffusion.parts import make_autoencoder, make_control, tokenizer_of, unet_arguments
from graphflow.families.latent_diffusion.text import ClipEncoder, FindVectors, TextModel
from graphflow.families.latent_diffusion.unet import UNetModel
from graphflow.families.latent_diffusion.vae import Autoencoder

if TYPE_CHECKING:
    from graphflow.families.family import Module

LATENT_SCALE = 0.18215

_OPENCLIP_H_LAYERS = 24


def model(part: Module) -> UNetModel:
    """The UNet.

    Raises:
        ModelFormatError: It needs something that only its own pipeline gives.
    """
    return UNetModel(**unet_arguments(part, LATENT_SCALE))


def text_model(
    parts: tuple[Module, ...],
    *,
    layer: int | None,
    find_embedding: FindVectors,
    tokens: Mapping[str, Mapping[str, Tensor]],
) -> TextModel:
    """The text encoder: SD 1.x reads the last layer, SD 2.x the one before it, both through the final norm."""
    (part,) = parts
    return TextModel(
        encoders=(
            ClipEncoder(
                name=part.name,
                module=part.module,
                tokenizer=tokenizer_of(part),
                device=part.device,
                layer=_layer(part, layer),
                normed=True,
            ),
        ),
        find_embedding=find_embedding,
        tokens=tokens,
    )


def autoencoder(part: Module) -> Autoencoder:
    """The autoencoder."""
    return make_autoencoder(part, LATENT_SCALE)


def control(part: Module) -> Net:
    """A ControlNet or T2I-Adapter."""
    return make_control(part)


def _layer(part: Module, layer: int | None) -> int:
    if part.description.variant not in ("sd2", "openclip_h"):
        return -1 if layer is None else layer
    # SD 2's last layer is left out of the model, so what counts as last is one further in.
    left_out = part.description.details.get("layers_left_out")
    dropped = bool(left_out) or int(part.config["num_hidden_layers"]) == _OPENCLIP_H_LAYERS - 1
    wanted = -2 if layer is None else layer
    return min(wanted + 1, -1) if dropped else wanted
