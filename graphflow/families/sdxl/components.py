"""SDXL, base and refiner (Podell et al. 2023, arXiv:2307.01952): two text encoders, sizes told to the UNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphflow.errors import InvalidInputError
from graphflow.families.latent_diffusion.components import LatentDiffusionComponents, tokenizer_of
from graphflow.families.latent_diffusion.text import ClipEncoder, TextModel
from graphflow.families.latent_diffusion.unet import UNetModel
from graphflow.families.sdxl.family import FAMILY
from graphflow.loading.components import FindVectors, Module
from graphflow.sampling.image_prompts import image_vector, taken_prompts
from graphflow.values import Conditioning, ConditioningEntry

_SAVED_UNDER = {
    "text_encoder": "conditioner.embedders.0.transformer.",
    "text_encoder_2": "conditioner.embedders.1.model.",
}

AESTHETIC_SCORE = {False: 6.0, True: 2.5}
"""The refiner's aesthetic score where nobody gives one, for what the picture should be and should not be."""


@dataclass(kw_only=True, eq=False)
class SdxlModel(UNetModel):
    """The UNet of SDXL, which reads the pooled text and six sizes (the refiner: four and an aesthetic score).

    The sizes are extras of a conditioning entry, in pixels: `width`, `height` (of the picture it should resemble),
    `crop_w`, `crop_h`, `target_width`, `target_height`; the refiner reads `aesthetic_score`.

    Attributes:
        refiner: Whether this is the refiner.
    """

    refiner: bool = False

    def complete(
        self, conditioning: Conditioning, height: int, width: int, *, negative: bool, seed: int = 0
    ) -> Conditioning:
        """Fill in sizes and score where nobody said them, and what pictures say in place of the pooled text."""
        sized = Conditioning(
            entries=tuple(
                replace(
                    _revised(entry, seed),
                    extras={**_defaults(entry.extras, height, width, negative=negative), **entry.extras},
                )
                for entry in conditioning.entries
            )
        )
        return super().complete(sized, height, width, negative=negative, seed=seed)

    def added(
        self, entries: Sequence[ConditioningEntry], batch: int, height: int, width: int
    ) -> dict[str, Tensor] | None:
        """The pooled text (N, D) and the sizes (N, 6 or 5).

        Raises:
            InvalidInputError: An entry has no pooled output.
        """
        pooled = [entry.pooled for entry in entries]
        if any(tensor is None for tensor in pooled):
            raise InvalidInputError(
                "the conditioning has no pooled text embedding, which SDXL needs",
                advice="encode the prompt with SDXL's text encoders",
            )
        rows = [self._ids(entry, height, width) for entry in entries]
        ids = torch.tensor(rows, device=self.device, dtype=self.dtype).repeat_interleave(batch, dim=0)
        return {"text_embeds": self.stacked([t for t in pooled if t is not None], batch), "time_ids": ids}

    def _ids(self, entry: ConditioningEntry, height: int, width: int) -> list[float]:
        values = {**_defaults(entry.extras, height, width, negative=False), **entry.extras}
        sizes = [values["height"], values["width"], values["crop_h"], values["crop_w"]]
        last = [values["aesthetic_score"]] if self.refiner else [values["target_height"], values["target_width"]]
        return [float(value) for value in (*sizes, *last)]


class SdxlComponents(LatentDiffusionComponents):
    """The networks of SDXL."""

    def denoiser(self, part: Module) -> SdxlModel:
        """The UNet.

        Raises:
            ModelFormatError: It needs something that only its own pipeline gives.
        """
        return SdxlModel(
            **self.unet_arguments(part),
            architecture="stable-diffusion-xl-v1-base",
            marks_prediction=True,
            refiner=_reads_score(part),
        )

    def encoder(
        self,
        parts: tuple[Module, ...],
        *,
        layer: int | None,
        find_embedding: FindVectors,
        tokens: Mapping[str, Mapping[str, Tensor]],
    ) -> TextModel:
        """The text encoders: the layer before the last, without the final norm, side by side; pooled from the second."""
        return TextModel(
            encoders=tuple(
                ClipEncoder(
                    name=part.name,
                    module=part.module,
                    tokenizer=tokenizer_of(part),
                    device=part.device,
                    layer=-2 if layer is None else layer,
                    normed=False,
                )
                for part in sorted(parts, key=lambda part: part.name)
            ),
            find_embedding=find_embedding,
            tokens=tokens,
            saved_under=_SAVED_UNDER,
        )


COMPONENTS = SdxlComponents(latent=FAMILY.latent)


def _revised(entry: ConditioningEntry, seed: int) -> ConditioningEntry:
    """Have what pictures say stand in place of the pooled text ("revision")."""
    entry, prompts = taken_prompts(entry)
    if not prompts:
        return entry
    vector = image_vector(prompts, seed, merged_noise=0.0)
    vector = vector[:, : vector.shape[1] // 2]
    if entry.pooled is not None and entry.pooled.shape[-1] != vector.shape[1]:
        raise InvalidInputError(
            f"the image encoder makes vectors of width {vector.shape[1]}, the model reads {entry.pooled.shape[-1]}",
            where="image_encoder",
            advice="SDXL reads those of CLIP ViT-bigG (clip_vision_g)",
        )
    return replace(entry, pooled=vector)


def _defaults(given: Mapping[str, Any], height: int, width: int, *, negative: bool) -> dict[str, Any]:
    return {
        "height": height,
        "width": width,
        "crop_h": 0,
        "crop_w": 0,
        "target_height": given.get("height", height),
        "target_width": given.get("width", width),
        "aesthetic_score": AESTHETIC_SCORE[negative],
    }


def _reads_score(part: Module) -> bool:
    """Whether the UNet reads five numbers beside the pooled text: the refiner does, the base reads six."""
    total = part.config.get("projection_class_embeddings_input_dim")
    each = part.config.get("addition_time_embed_dim")
    if part.description.variant:
        return part.description.variant == "sdxl_refiner"
    return isinstance(total, int) and isinstance(each, int) and total == 5 * each + 1280
