"""Pixels to latents of one frame each and back, with an autoencoder that was made for videos."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.vae import OVERLAP, Autoencoder


@dataclass(kw_only=True, eq=False)
class FrameAutoencoder(Autoencoder):
    """What `Vae.use()` gives: it makes latents (B, C, 1, h, w), and decodes (B, C, h, w)."""

    axes = 3

    def file_tensors(self, *, whole: bool) -> tuple[Tensors, Config]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError(
            "autoencoders of Qwen-Image are not saved here", advice="keep the file that it came from"
        )

    def encode(self, pixels: Tensor, tile: int = 0, overlap: int = OVERLAP) -> Tensor:
        """Encode pictures, see :meth:`Autoencoder.encode`; returns raw latents (B, C, 1, H / f, W / f)."""
        return super().encode(pixels, tile, overlap).unsqueeze(2)

    def _encode(self, pixels: Tensor) -> Tensor:
        return super()._encode(pixels.unsqueeze(2)).squeeze(2)

    def _decode(self, latents: Tensor) -> Tensor:
        return super()._decode(latents.unsqueeze(2)).squeeze(2)
