"""Qwen-Image (Wu et al. 2025, arXiv:2508.02324): a transformer on a flow, Qwen2.5-VL, an autoencoder made for videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from graphflow.basics.importing import collector_paused
from graphflow.errors import ModelFormatError
from graphflow.families.flow.components import FlowComponents, pieces_of
from graphflow.families.latent_diffusion.vae import Autoencoder
from graphflow.families.qwen_image.blockwise import BlockwiseNetwork, QwenImageBlockwise
from graphflow.families.qwen_image.config import BLOCKWISE, CONTROL, TEXT_CLASSES, VAE_CLASSES, times
from graphflow.families.qwen_image.control import QwenImageControl
from graphflow.families.qwen_image.denoiser import QwenImageDenoiser
from graphflow.families.qwen_image.family import FAMILY
from graphflow.families.qwen_image.language import Qwen25VL
from graphflow.families.qwen_image.network import with_places
from graphflow.families.qwen_image.text import QwenImageText
from graphflow.families.qwen_image.vae import FrameAutoencoder
from graphflow.loading.components import FindVectors, Module
from graphflow.modelfiles.description import Part
from graphflow.sampling.prediction import ModelSampling


class QwenImageComponents(FlowComponents):
    """The networks of Qwen-Image."""

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        if part.class_name in TEXT_CLASSES:
            with collector_paused():
                return Qwen25VL(**part.config)
        if part.class_name in VAE_CLASSES:
            with collector_paused():
                import diffusers

                autoencoder: nn.Module = getattr(diffusers, part.class_name).from_config(dict(part.config))
            return autoencoder
        if part.class_name == BLOCKWISE:
            sizes: dict[str, Any] = dict(part.config)
            return BlockwiseNetwork(**sizes)
        module = super().build(part)
        if part.class_name in (self.transformer, CONTROL):
            with_places(module)
        return module

    def control(self, part: Module) -> QwenImageControl:
        """A ControlNet."""
        kind = QwenImageBlockwise if isinstance(part.module, BlockwiseNetwork) else QwenImageControl
        return kind(module=part.module, latent=self.latent, device=part.device, dtype=part.dtype)

    def denoiser(self, part: Module) -> QwenImageDenoiser:
        """The transformer."""
        sampling = ModelSampling.flow(**asdict(times(part.description)))
        return QwenImageDenoiser(
            module=part.module, model_sampling=sampling, latent=self.latent, device=part.device, dtype=part.dtype
        )

    def encoder(
        self,
        parts: tuple[Module, ...],
        *,
        layer: int | None,
        find_embedding: FindVectors,
        tokens: Mapping[str, Mapping[str, Tensor]],
    ) -> QwenImageText:
        """The text encoder.

        Raises:
            ModelFormatError: It is another family's, or another layer is asked for than the last.
            ModelNotFoundError: The tokenizer is not at hand.
        """
        part = parts[0]
        if len(parts) > 1 or type(part.module).__name__ not in TEXT_CLASSES:
            raise ModelFormatError(
                "Qwen-Image reads Qwen2.5-VL alone", where=part.description.name, advice="load qwen_2.5_vl_7b"
            )
        if layer not in (None, -1):
            raise ModelFormatError(
                "Qwen-Image reads the last layer of its text encoder only",
                where=part.description.name,
                advice="take set_text_layer out",
            )
        return QwenImageText(
            encoders=(),
            find_embedding=find_embedding,
            tokens=tokens,
            module=part.module,
            tokenizer=pieces_of(part),
        )

    def autoencoder(self, part: Module) -> Autoencoder:
        """The autoencoder."""
        if type(part.module).__name__ not in VAE_CLASSES:
            return super().autoencoder(part)
        return FrameAutoencoder(
            module=part.module,
            device=part.device,
            dtype=part.dtype,
            downscale=2 ** (len(part.config["dim_mult"]) - 1) * (part.config.get("patch_size") or 1),
            latent_channels=int(part.config.get("z_dim", self.latent.channels)),
            pixel_channels=int(part.config.get("input_channels", 3)),
            upcast=part.upcast,
            save_memory=part.save_memory,
        )


COMPONENTS = QwenImageComponents(latent=FAMILY.latent, transformer=FAMILY.transformer, further=(CONTROL,))
