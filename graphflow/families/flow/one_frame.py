"""Autoencoders that were made for videos, and make pictures of one frame."""

from __future__ import annotations

from torch import Tensor

from graphflow.families.latent_diffusion.vae import Autoencoder


class OneFrame(Autoencoder):
    """What `Vae.use()` gives where the module has an axis of frames and pixels and latents have none."""

    def _encode(self, pixels: Tensor) -> Tensor:
        return super()._encode(pixels.unsqueeze(2)).squeeze(2)

    def _decode(self, latents: Tensor) -> Tensor:
        return super()._decode(latents.unsqueeze(2)).squeeze(2)
