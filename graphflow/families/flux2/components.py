"""FLUX.2 (Black Forest Labs 2025): a transformer on a flow, one language model, an autoencoder of patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from torch import Tensor, nn

from graphflow.basics.importing import collector_paused
from graphflow.errors import ModelFormatError
from graphflow.families.flow.components import FlowComponents, pieces_of
from graphflow.families.flow.language_text import LanguageText
from graphflow.families.flux2.config import how_asked, times
from graphflow.families.flux2.denoiser import Flux2Denoiser
from graphflow.families.flux2.family import FAMILY
from graphflow.families.flux2.network import with_kept_references
from graphflow.families.flux2.vae import PatchAutoencoder
from graphflow.families.latent_diffusion.components import downscale
from graphflow.families.latent_diffusion.vae import Autoencoder
from graphflow.families.latent_diffusion.vae_config import PATCH_VAE
from graphflow.loading.components import FindVectors, Module
from graphflow.modelfiles.description import Part
from graphflow.sampling.prediction import ModelSampling


class Flux2Components(FlowComponents):
    """The networks of FLUX.2."""

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights; its attention can keep what it makes of references.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        module = super().build(part)
        if part.class_name == self.transformer:
            with collector_paused():
                with_kept_references(module)
        return module

    def denoiser(self, part: Module) -> Flux2Denoiser:
        """The transformer."""
        return Flux2Denoiser(
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
    ) -> LanguageText:
        """The language model: Mistral Small 3 for dev, Qwen3 for Klein.

        Raises:
            ModelFormatError: It is another one, or has too few layers, or other layers are asked for.
            ModelNotFoundError: Its tokenizer is not at hand.
        """
        part, where = parts[0], parts[0].description.name
        asked = how_asked(type(part.module).__name__)
        if len(parts) > 1 or asked is None:
            names = ", ".join(type(part.module).__name__ for part in parts)
            raise ModelFormatError(
                f"FLUX.2 reads Mistral Small 3 or Qwen3, not {names}",
                where=where,
                advice="load mistral_3_small_flux2 for dev, qwen_3_4b or qwen_3_8b for Klein",
            )
        if layer is not None:
            raise ModelFormatError(
                "FLUX.2 reads three fixed layers of its text encoder", where=where, advice="take set_text_layer out"
            )
        if len(part.module.layers) <= asked.layers[-1]:
            raise ModelFormatError(
                f"FLUX.2 reads layer {asked.layers[-1] + 1} of its text encoder, and this one has"
                f" {len(part.module.layers)} layers",
                where=where,
            )
        tokenizer = pieces_of(part)
        if broken := [word for word in asked.words if len(tokenizer.ids(word)) != 1]:
            raise ModelFormatError(
                f"its tokenizer does not know {broken[0]}, so it is that of an older model",
                where=where,
                advice="use the one that was published with the text encoder",
            )
        return LanguageText(
            encoders=(),
            find_embedding=find_embedding,
            tokens=tokens,
            module=part.module,
            tokenizer=tokenizer,
            template=asked.template,
            begin=(),
            layers=asked.layers,
            least=asked.least,
            filler=asked.filler,
        )

    def autoencoder(self, part: Module) -> Autoencoder:
        """The autoencoder."""
        if type(part.module).__name__ != PATCH_VAE:
            return super().autoencoder(part)
        patch = int(part.module.config.patch_size[0])
        return PatchAutoencoder(
            module=part.module,
            device=part.device,
            dtype=part.dtype,
            downscale=downscale(part.config) * patch,
            latent_channels=int(part.module.config.latent_channels) * patch**2,
            upcast=part.upcast,
            save_memory=part.save_memory,
            patch=patch,
        )


COMPONENTS = Flux2Components(latent=FAMILY.latent, transformer=FAMILY.transformer)
