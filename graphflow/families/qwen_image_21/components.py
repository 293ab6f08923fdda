"""Qwen-Image 2.1 (Qwen Team 2026): a transformer on a flow, Qwen3-VL, an autoencoder with transparency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from torch import Tensor, nn

from graphflow.basics.importing import collector_paused
from graphflow.errors import ModelFormatError
from graphflow.families.flow.components import FlowComponents, pieces_of
from graphflow.families.flow.qwen3_vl import QWEN3_VL
from graphflow.families.latent_diffusion.vae import Autoencoder
from graphflow.families.qwen_image_21.config import VAE_CLASS, times
from graphflow.families.qwen_image_21.denoiser import QwenImage21Denoiser
from graphflow.families.qwen_image_21.family import FAMILY
from graphflow.families.qwen_image_21.prompts import SEEN_TOKEN, TURN
from graphflow.families.qwen_image_21.text import QwenImage21Text
from graphflow.families.qwen_image_21.vae import StillAutoencoder
from graphflow.loading.components import FindVectors, Module
from graphflow.modelfiles.description import Part
from graphflow.sampling.prediction import ModelSampling


class QwenImage21Components(FlowComponents):
    """The networks of Qwen-Image 2.1."""

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        if part.class_name in QWEN3_VL.classes:
            with collector_paused():
                from transformers import Qwen3VLConfig, Qwen3VLModel
            told = ("text_config", "vision_config", "image_token_id")
            config = Qwen3VLConfig(**{name: part.config[name] for name in told if name in part.config})
            encoder: nn.Module = Qwen3VLModel(config)
            return encoder
        if part.class_name == VAE_CLASS:
            with collector_paused():
                from diffusers import AutoencoderKLQwenImage21
            autoencoder: nn.Module = AutoencoderKLQwenImage21.from_config(dict(part.config))
            return autoencoder
        return super().build(part)

    def denoiser(self, part: Module) -> QwenImage21Denoiser:
        """The transformer."""
        return QwenImage21Denoiser(
            module=part.module,
            model_sampling=ModelSampling.flow(**asdict(times(part.description))),
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
    ) -> QwenImage21Text:
        """The text encoder.

        Raises:
            ModelFormatError: It is another family's, another layer is asked for than the last, or its tokenizer is
                that of a model that does not see.
            ModelNotFoundError: The tokenizer is not at hand.
        """
        part, where = parts[0], parts[0].description.name
        if len(parts) > 1 or type(part.module).__name__ not in QWEN3_VL.classes:
            raise ModelFormatError("Qwen-Image 2.1 reads Qwen3-VL alone", where=where, advice="load qwen3vl_8b")
        if layer not in (None, -1):
            raise ModelFormatError(
                "Qwen-Image 2.1 reads the last layer of its text encoder only",
                where=where,
                advice="take set_text_layer out",
            )
        tokenizer = pieces_of(part)
        if any(len(tokenizer.ids(word)) != 1 for word in (TURN, SEEN_TOKEN)):
            raise ModelFormatError(
                f"its tokenizer does not know {SEEN_TOKEN}, so it is that of another model",
                where=where,
                advice="use the one that was published with the text encoder",
            )
        return QwenImage21Text(
            encoders=(),
            find_embedding=find_embedding,
            tokens=tokens,
            module=part.module,
            tokenizer=tokenizer,
        )

    def autoencoder(self, part: Module) -> Autoencoder:
        """The autoencoder."""
        if part.module.__class__.__name__ != VAE_CLASS:
            return super().autoencoder(part)
        config = part.module.config
        return StillAutoencoder(
            module=part.module,
            device=part.device,
            dtype=part.dtype,
            downscale=2 ** (len(config.dim_mult) - 1),
            latent_channels=int(config.z_dim),
            pixel_channels=int(config.in_channels),
            upcast=part.upcast,
            save_memory=part.save_memory,
        )


COMPONENTS = QwenImage21Components(latent=FAMILY.latent, transformer=FAMILY.transformer)
"""The networks."""
