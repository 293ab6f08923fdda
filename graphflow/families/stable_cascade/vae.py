"""Pictures to Stable Cascade's latents and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.vae import Autoencoder


@dataclass(kw_only=True, eq=False)
class StageA(Autoencoder):
    """Stage B's latents, which are not quantised; pictures are in [0, 1] inside, too."""

    def _enter(self, pixels: Tensor) -> Tensor:
        return pixels

    def _leave(self, pixels: Tensor) -> Tensor:
        return pixels

    def _decode(self, latents: Tensor) -> Tensor:
        found: Tensor = self.module.decode(latents.to(self.device, self.dtype), force_not_quantize=True).sample
        return found


@dataclass(kw_only=True, eq=False)
class StageCPreview(Autoencoder):
    """Stage C's latents, 32 pixels a sample where pictures are encoded, which are decoded eight times as large."""

    def _enter(self, pixels: Tensor) -> Tensor:
        return pixels

    def _leave(self, pixels: Tensor) -> Tensor:
        return pixels.clamp(0.0, 1.0)

    def _tile(self, tile: int, overlap: int, size: torch.Size, factor: int) -> tuple[int, int]:
        return 0, 0  # the networks are small, and what they read and write differs in scale

    def _encode(self, pixels: Tensor) -> Tensor:
        if self.module.encoder is None:
            raise ModelFormatError(
                "the file decodes stage C's latents for previews only", advice="effnet_encoder encodes pictures"
            )
        found: Tensor = self.module.encoder(pixels.to(self.device, self.dtype))
        return found

    def _decode(self, latents: Tensor) -> Tensor:
        if self.module.previewer is None:
            raise ModelFormatError(
                "the file encodes pictures only",
                advice="stage C's latents go into stage B, whose latents stage_a decodes",
            )
        found: Tensor = self.module.previewer(latents.to(self.device, self.dtype))
        return found
