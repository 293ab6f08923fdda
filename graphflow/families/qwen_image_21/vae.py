"""Qwen-Image 2.1's autoencoder: pictures with transparency to latents and back."""

from __future__ import annotations

from dataclasses import dataclass

from graphflow.errors import ModelFormatError
from graphflow.families.flow.one_frame import OneFrame
from graphflow.families.latent_diffusion.saving import Config, Tensors


@dataclass(kw_only=True, eq=False)
class StillAutoencoder(OneFrame):
    """What `Vae.use()` gives."""

    def file_tensors(self, *, whole: bool) -> tuple[Tensors, Config]:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError(
            "autoencoders of Qwen-Image 2.1 are not saved here", advice="keep the file that it came from"
        )
