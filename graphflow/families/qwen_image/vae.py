"""Pixels to latents of one frame each and back, with an autoencoder that was made for videos."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphflow.families.flow.one_frame import OneFrame
from graphflow.families.flow.saving import original_tensors
from graphflow.families.latent_diffusion.saving import VAE, Config, Tensors, config_of
from graphflow.families.latent_diffusion.vae import OVERLAP
from graphflow.families.qwen_image.names import vae_names
from graphflow.modelfiles.description import Part


@dataclass(kw_only=True, eq=False)
class FrameAutoencoder(OneFrame):
    """What `Vae.use()` gives: it makes latents (B, C, 1, h, w), and decodes (B, C, h, w)."""

    axes = 3

    def file_tensors(self, *, whole: bool) -> tuple[Tensors, Config]:
        """Tensors in the authors' layout and config, alone or as they stand in a whole checkpoint."""
        config = config_of(self.module)
        part = Part("vae", type(self.module).__name__, config, files=(), keys="ldm")
        return original_tensors(self.module, vae_names(part), VAE if whole else ""), {"vae": config}

    def encode(self, pixels: Tensor, tile: int = 0, overlap: int = OVERLAP) -> Tensor:
        """Encode pictures, see :meth:`Autoencoder.encode`; returns raw latents (B, C, 1, H / f, W / f)."""
        return super().encode(pixels, tile, overlap).unsqueeze(2)
