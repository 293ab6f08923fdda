"""Z-Image: a transformer on a flow that reads Qwen3, and an autoencoder of sixteen channels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.families.flow.components import FlowComponents, pieces_of
from graphflow.families.flow.text import LanguageText
from graphflow.families.z_image.config import SHIFT
from graphflow.families.z_image.denoiser import ZImageDenoiser
from graphflow.families.z_image.family import FAMILY
from graphflow.loading.components import FindVectors, Module
from graphflow.sampling.prediction import ModelSampling

TEMPLATE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
"""How Qwen3 is asked; its states at all of these tokens are the embedding."""


class ZImageComponents(FlowComponents):
    """The networks of Z-Image."""

    def denoiser(self, part: Module) -> ZImageDenoiser:
        """The transformer."""
        return ZImageDenoiser(
            module=part.module,
            model_sampling=ModelSampling.flow(SHIFT, timestep_scale=1.0),
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
        """The text encoder.

        Raises:
            ModelFormatError: The parts are something else.
            ModelNotFoundError: Its tokenizer is not at hand.
        """
        names = [type(part.module).__name__ for part in parts]
        if names != ["Qwen3Model"]:
            raise ModelFormatError(
                f"Z-Image reads Qwen3, not {', '.join(names)}",
                where=parts[0].description.name,
                advice="load qwen_3_4b",
            )
        (part,) = parts
        return LanguageText(
            encoders=(),
            find_embedding=find_embedding,
            tokens=tokens,
            module=part.module,
            tokenizer=pieces_of(part),
            device=part.device,
            template=TEMPLATE,
            layer=-2 if layer is None else layer,
        )


COMPONENTS = ZImageComponents(latent=FAMILY.latent, transformer=FAMILY.transformer)
