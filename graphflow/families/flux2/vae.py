"""FLUX.2's autoencoder: the latents that models work on are patches of its own, with mean and deviation taken off."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion.saving import Config, Tensors
from graphflow.families.latent_diffusion.vae import Autoencoder


@dataclass(kw_only=True, eq=False)
class PatchAutoencoder(Autoencoder):
    """What `Vae.use()` gives; latents (B, 4 C, h / 2, w / 2) hold patches of 2 x 2 samples as further channels.

    Attributes:
        patch: Samples of a patch along an edge.
    """

    patch: int

    def file_tensors(self, *, whole: bool) -> tuple[Tensors, Config]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError("autoencoders of FLUX.2 are not saved here", advice="keep the file that it came from")

    def _encode(self, pixels: Tensor) -> Tensor:
        patches = functional.pixel_unshuffle(super()._encode(pixels), self.patch).float()
        mean, deviation = self._statistics(patches)
        return (patches - mean) / deviation

    def _decode(self, latents: Tensor) -> Tensor:
        patches = latents.to(self.device).float()
        mean, deviation = self._statistics(patches)
        return super()._decode(functional.pixel_shuffle(patches * deviation + mean, self.patch))

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation by channel, (1, C, 1, 1) each."""
        norm = self.module.bn
        mean, variance = (tensor.to(like).reshape(1, -1, 1, 1) for tensor in (norm.running_mean, norm.running_var))
        return mean, (variance + norm.eps).sqrt()
