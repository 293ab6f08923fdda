"""Qwen-Image 2.1's autoencoder: pictures with transparency to latents and back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.vae import Autoencoder


@dataclass(kw_only=True, eq=False)
class StillAutoencoder(Autoencoder):
    """What `Vae.use()` gives: a module of videos' kind, whose only frame has no axis of its own here."""

    def file_tensors(self, *, whole: bool) -> tuple[Tensors, Config]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError(
            "autoencoders of Qwen-Image 2.1 are not saved here", advice="keep the file that it came from"
        )

    def _encode(self, pixels: Tensor) -> Tensor:
        return super()._encode(pixels.unsqueeze(2)).squeeze(2)

    def _decode(self, latents: Tensor) -> Tensor:
        return super()._decode(latents.unsqueeze(2)).squeeze(2)
