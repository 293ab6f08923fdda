"""What the Stable Diffusion families have in common when modules become what nodes compute with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from graphflow.families.latent_diffusion import upscaler
from graphflow.families.latent_diffusion.building import build
from graphflow.families.latent_diffusion.control import ControlModel
from graphflow.families.latent_diffusion.hooks import attach  # noqa: F401 - registers what hooks do
from graphflow.families.latent_diffusion.ip_adapter import IPAdapterNetwork, PictureAdapter
from graphflow.families.latent_diffusion.t2i_adapter import AdapterModel
from graphflow.families.latent_diffusion.text import TextModel
from graphflow.families.latent_diffusion.tokenizers import PromptTokenizer, make_tokenizer
from graphflow.families.latent_diffusion.unet import check_unet
from graphflow.families.latent_diffusion.unet_config import task_of
from graphflow.families.latent_diffusion.vae import Autoencoder
from graphflow.loading.components import FindVectors, Module
from graphflow.modelfiles.description import Description, Part, TokenizerSpec
from graphflow.modelfiles.family import LatentFormat
from graphflow.sampling.prediction import ModelSampling


@dataclass(frozen=True, kw_only=True)
class LatentDiffusionComponents(ABC):
    """Implements :class:`graphflow.loading.components.Components` but for `denoiser` and `encoder`.

    Attributes:
        latent: The family's latents.
    """

    latent: LatentFormat

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        return build(part.class_name, dict(part.config))

    @abstractmethod
    def denoiser(self, part: Module) -> Any:
        """The diffusion model.

        Raises:
            ModelFormatError: It needs something that only its own pipeline gives.
        """

    @abstractmethod
    def encoder(
        self,
        parts: tuple[Module, ...],
        *,
        layer: int | None,
        find_embedding: FindVectors,
        tokens: Mapping[str, Mapping[str, Tensor]],
    ) -> TextModel:
        """The text encoders together."""

    def autoencoder(self, part: Module) -> Autoencoder:
        """The autoencoder; a tiny one has the family's scale built in."""
        tiny = part.config.get("_class_name") == "AutoencoderTiny" or type(part.module).__name__ == "AutoencoderTiny"
        return Autoencoder(
            module=part.module,
            device=part.device,
            dtype=part.dtype,
            downscale=8 if tiny else downscale(part.config),
            latent_channels=int(part.config.get("latent_channels", 4)),
            upcast=part.upcast,
            latent_scale=self.latent.scale if tiny else 1.0,
            save_memory=part.save_memory,
        )

    def control(self, part: Module) -> Any:
        """A ControlNet or T2I-Adapter."""
        wrapper = AdapterModel if part.part == "adapter" else ControlModel
        return wrapper(module=part.module, device=part.device, dtype=part.dtype)

    def picture_adapter(self, part: Module) -> PictureAdapter:
        """An IP-Adapter."""
        network = part.module
        assert isinstance(network, IPAdapterNetwork)
        return PictureAdapter(network=network, name=part.description.name, device=part.device, dtype=part.dtype)

    def unet_arguments(self, part: Module) -> dict[str, Any]:
        """Arguments of a `UNetModel` that every family of this kind takes from the description.

        Raises:
            ModelFormatError: The UNet needs something that only its own pipeline gives.
        """
        check_unet(dict(part.config))
        vae = part.description.parts.get("vae")
        config = vae.config if vae is not None else {}
        sampling = ModelSampling.from_scheduler_config(part.description.scheduler)
        if task_of(dict(part.config)) == "estimate":
            sampling = replace(sampling, prediction="img_to_img")
        latent = replace(
            self.latent.others.get("edm_playground_v2.5", self.latent) if sampling.prediction == "edm" else self.latent,
            channels=int(part.config.get("out_channels", self.latent.channels)),
            shift=_number(config.get("shift_factor"), 0.0),
            downscale=downscale(config),
        )
        if part.config.get("in_channels") == upscaler.CHANNELS:
            latent = replace(latent, scale=upscaler.SCALE, downscale=upscaler.DOWNSCALE)
        if not latent.mean:
            latent = replace(latent, scale=_number(config.get("scaling_factor"), latent.scale))
        return {
            "module": part.module,
            "model_sampling": sampling,
            "latent": latent,
            "device": part.device,
            "dtype": part.dtype,
        }


def tokenizer_of(part: Module) -> PromptTokenizer:
    """The tokenizer that goes with a text encoder."""
    length = int(part.config.get("max_position_embeddings", 77))
    return make_tokenizer(_spec(part.description, part.part), length)


def downscale(config: Mapping[str, Any]) -> int:
    """Pixels per latent sample of an autoencoder with this config; 8 where there is none."""
    widths = config.get("block_out_channels")
    return 2 ** (len(widths) - 1) if isinstance(widths, list | tuple) else 8


def _spec(description: Description, part: str) -> TokenizerSpec:
    for spec in description.tokenizers:
        if spec.part == part:
            return spec
    return TokenizerSpec(part=part, source="builtin", config={})


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
