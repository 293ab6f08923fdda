"""Pixels to latents of one frame each and back, with an autoencoder that was made for videos."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphflow.errors import InvalidInputError
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.vae import OVERLAP, Autoencoder
from graphflow.errors import ModelFormatError


@dataclass(kw_only=True, eq=False)
class FrameAutoencoder(Autoencoder):
    """What `Vae.use()` gives: latents are (B, C, 1, h, w)."""

    def file_tensors(self, *, whole: bool) -> tuple[Tensors, Config]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError("autoencoders of Qwen-Image are not saved here", advice="keep the file that it came from")

    def encode(self, pixels: Tensor, tile: int = 0, overlap: int = OVERLAP) -> Tensor:
        """Encode pictures, see :meth:`Autoencoder.encode`; returns raw latents (B, C, 1, H / f, W / f)."""
        return super().encode(pixels, tile, overlap).unsqueeze(2)

    def decode(self, latents: Tensor, tile: int = 0, overlap: int = OVERLAP) -> Tensor:
        """Decode latents (B, C, 1, h, w) or (B, C, h, w), see :meth:`Autoencoder.decode`.

        Raises:
            InvalidInputError: They are a video's.
        """
        if latents.dim() == 5:
            if latents.shape[2] != 1:
                raise InvalidInputError(
                    f"the latent has {latents.shape[2]} frames, and only single pictures are decoded", where="latent"
                )
            latents = latents.squeeze(2)
        return super().decode(latents, tile, overlap)

    def _encode(self, pixels: Tensor) -> Tensor:
        return super()._encode(pixels.unsqueeze(2)).squeeze(2)

    def _decode(self, latents: Tensor) -> Tensor:
        return super()._decode(latents.unsqueeze(2)).squeeze(2)
