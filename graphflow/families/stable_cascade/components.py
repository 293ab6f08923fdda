"""Stable Cascade: two diffusion models, CLIP-G, and an autoencoder for each of the latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from graphflow.basics.importing import collector_paused
from graphflow.families.flow.components import FlowComponents
from graphflow.families.latent_diffusion.components import tokenizer_of
from graphflow.families.latent_diffusion.text import ClipEncoder, TextModel
from graphflow.families.latent_diffusion.vae import Autoencoder
from graphflow.families.stable_cascade.config import STAGE_A, STAGE_C, UNET, schedule
from graphflow.families.stable_cascade.denoiser import CascadeDenoiser
from graphflow.families.stable_cascade.family import FAMILY, STAGE_B_LATENT
from graphflow.families.stable_cascade.vae import StageA, StageCPreview
from graphflow.loading.components import FindVectors, Module
from graphflow.modelfiles.description import Part
from graphflow.sampling.prediction import ModelSampling


class StableCascadeComponents(FlowComponents):
    """The networks of Stable Cascade."""

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        if part.class_name == UNET:
            from graphflow.families.stable_cascade.network import CascadeUnet

            made: nn.Module = CascadeUnet.from_config(dict(part.config))
            return made
        if part.class_name == STAGE_C:
            from graphflow.families.stable_cascade.network import CascadeAutoencoder

            return CascadeAutoencoder(**{name: bool(part.config[name]) for name in ("encoder", "previewer")})
        if part.class_name == STAGE_A:
            with collector_paused():
                from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
            autoencoder: nn.Module = PaellaVQModel.from_config(dict(part.config))
            return autoencoder
        return super().build(part)

    def denoiser(self, part: Module) -> CascadeDenoiser:
        """The diffusion model of either stage."""
        is_c = part.config.get("clip_text_in_channels")
        scheduler = part.description.scheduler or schedule("stage_c" if is_c else "stage_b")
        return CascadeDenoiser(
            module=part.module,
            model_sampling=ModelSampling.from_scheduler_config(scheduler),
            latent=self.latent if is_c else STAGE_B_LATENT,
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
    ) -> TextModel:
        """The text encoder: CLIP-G's last layer without the final norm; what fills the text up is not looked at."""
        (part,) = parts
        tokenizer = tokenizer_of(part)
        encoder = ClipEncoder(
            name=part.name,
            module=part.module,
            # What fills the text up is read by the network, too.
            tokenizer=replace(tokenizer, pad=tokenizer.end),
            device=part.device,
            layer=-1 if layer is None else layer,
            normed=False,
            masked=True,
        )
        return TextModel(encoders=(encoder,), find_embedding=find_embedding, tokens=tokens)

    def autoencoder(self, part: Module) -> Autoencoder:
        """The autoencoder of stage B's latents, or what encodes to and previews stage C's."""
        is_a = type(part.module).__name__ == STAGE_A
        return (StageA if is_a else StageCPreview)(
            module=part.module,
            device=part.device,
            dtype=part.dtype,
            downscale=STAGE_B_LATENT.downscale if is_a else 32,
            latent_channels=STAGE_B_LATENT.channels if is_a else self.latent.channels,
            upcast=part.upcast,
            save_memory=part.save_memory,
        )


COMPONENTS = StableCascadeComponents(latent=FAMILY.latent, transformer=UNET)
