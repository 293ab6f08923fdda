"""Chroma: a transformer on a flow, T5, and FLUX.1's autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from torch import Tensor, nn

from graphflow.errors import ModelFormatError
from graphflow.families.chroma.config import times
from graphflow.families.chroma.denoiser import ChromaDenoiser
from graphflow.families.chroma.family import FAMILY
from graphflow.families.chroma.network import finely_normed
from graphflow.families.chroma.text import ChromaText
from graphflow.families.flow.components import FlowComponents, pieces_of
from graphflow.families.flow.t5 import PAD, T5Encoder
from graphflow.loading.components import FindVectors, Module
from graphflow.modelfiles.description import Part
from graphflow.sampling.prediction import ModelSampling


class ChromaComponents(FlowComponents):
    """The networks of Chroma."""

    def build(self, part: Part) -> nn.Module:
        """The part's module without weights.

        Raises:
            ModelFormatError: Its class cannot be loaded.
        """
        module = super().build(part)
        if part.class_name == self.transformer:
            finely_normed(module)
        return module

    def denoiser(self, part: Module) -> ChromaDenoiser:
        """The transformer."""
        return ChromaDenoiser(
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
    ) -> ChromaText:
        """The text encoder.

        Raises:
            ModelFormatError: A part is no T5.
            ModelNotFoundError: Its tokenizer is not at hand.
        """
        names = [type(part.module).__name__ for part in parts]
        if names != ["T5EncoderModel"]:
            raise ModelFormatError(
                f"Chroma reads one T5, not {', '.join(names)}", where=parts[0].description.name, advice="load t5xxl"
            )
        (t5,) = parts
        return ChromaText(
            encoders=(),
            find_embedding=find_embedding,
            tokens=tokens,
            t5=T5Encoder(module=t5.module, tokenizer=pieces_of(t5), device=t5.device, least=1, neutral=PAD),
        )


COMPONENTS = ChromaComponents(latent=FAMILY.latent, transformer=FAMILY.transformer)
