"""Stable Video Diffusion: a UNet over space and time, an image encoder, an autoencoder that decodes frames together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor, nn

from graphflow.basics.importing import collector_paused
from graphflow.errors import ModelFormatError
from graphflow.families.flow.components import FlowComponents
from graphflow.families.latent_diffusion.vae import Autoencoder
from graphflow.families.svd.config import SIGMA_MAX, SIGMA_MIN, UNET, VAE
from graphflow.families.svd.denoiser import SvdDenoiser
from graphflow.families.svd.evaluating import set_norms_as_trained
from graphflow.families.svd.family import FAMILY
from graphflow.loading.components import FindVectors, Module
from graphflow.modelfiles.description import Part
from graphflow.sampling.prediction import ModelSampling


@dataclass(kw_only=True, eq=False)
class FramesTogether(Autoencoder):
    """An autoencoder whose decoder looks at all frames at once."""

    def _whole(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        if function == self._encode:
            return super()._whole(function)
        return lambda source: function(source).float().cpu()

    def _decode(self, latents: Tensor) -> Tensor:
        found: Tensor = self.module.decode(latents.to(self.device, self.dtype), num_frames=len(latents)).sample
        return found


class SvdComponents(FlowComponents):
    """The networks of Stable Video Diffusion."""

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        if part.class_name == VAE:
            with collector_paused():
                from diffusers import AutoencoderKLTemporalDecoder
            autoencoder: nn.Module = AutoencoderKLTemporalDecoder.from_config(dict(part.config))
            return autoencoder
        module = super().build(part)
        if part.class_name == UNET:
            set_norms_as_trained(module)
        return module

    def denoiser(self, part: Module) -> SvdDenoiser:
        """The UNet."""
        return SvdDenoiser(
            module=part.module,
            model_sampling=ModelSampling.continuous("v_prediction", SIGMA_MIN, SIGMA_MAX),
            latent=self.latent,
            device=part.device,
            dtype=part.dtype,
        )

    def encoder(
        self,
        parts: tuple[Module, ...],
        *,
        layer: int | None,
        find_embedding: FindVectors,
        tokens: Mapping[str, Mapping[str, Tensor]],
    ) -> NoReturn:
        """Refuse.

        Raises:
            ModelFormatError: Always.
        """
        raise ModelFormatError("Stable Video Diffusion reads no text", advice="svd_conditioning tells it the picture")

    def autoencoder(self, part: Module) -> Any:
        """The autoencoder."""
        if part.config.get("_class_name") != VAE and type(part.module).__name__ != VAE:
            return super().autoencoder(part)
        return FramesTogether(
            module=part.module,
            device=part.device,
            dtype=part.dtype,
            downscale=2 ** (len(part.config["block_out_channels"]) - 1),
            latent_channels=int(part.config["latent_channels"]),
            upcast=part.upcast,
            save_memory=part.save_memory,
        )


COMPONENTS = SvdComponents(latent=FAMILY.latent, transformer=UNET)
