"""Qwen-Image 2.1's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.qwen_image_21.family import FAMILY
from graphflow.families.qwen_image_21.network import TOKEN, qwen_image_21_velocity
from graphflow.families.qwen_image_21.text import PLACES
from graphflow.values import ConditioningEntry


@dataclass(kw_only=True, eq=False)
class QwenImage21Denoiser(FlowDenoiser):
    """What `Model.use()` gives for a Qwen-Image 2.1 model.

    Extras of a conditioning entry that it reads: `reference_latents`, and `picture_places`, where they stand.
    """

    footprint = FAMILY.footprint
    caches = True

    @property
    def text_width(self) -> int:
        """Width C of the text embeddings that it reads."""
        width: int = self.module.config.context_in_dim
        return width

    @inference
    def predict(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor | None = None,
        variation: str | None = None,
    ) -> Tensor:
        """The flow's velocity, see :meth:`graphflow.sampling.network.Denoiser.predict`.

        Raises:
            InvalidInputError: The entries do not fit the network, or the picture's edges are no multiples of 32 pixels.
        """
        with self.varied(variation):
            return self.by_references(x, timestep, entries, partial(self._evaluate, variation))

    def _evaluate(
        self, variation: str | None, x: Tensor, timestep: Tensor, entries: Sequence[ConditioningEntry]
    ) -> Tensor:
        batch, (height, width) = len(x) // len(entries), x.shape[-2:]
        if height % TOKEN or width % TOKEN:
            scale = self.latent.downscale
            raise InvalidInputError(
                f"Qwen-Image 2.1 makes pictures whose edges are multiples of {TOKEN * scale} pixels, not"
                f" {width * scale} x {height * scale}",
                where="latent",
                advice="choose such a size, or give encode_prompts_with_images the pictures and sample its latent",
            )
        references = self.references(entries, batch)
        places = {_places(entry, references) for entry in entries}
        if len(places) > 1:  # each by itself
            parts = zip(x.chunk(len(entries)), timestep.chunk(len(entries)), entries, strict=True)
            return torch.cat([self._evaluate(variation, part, time, [entry]) for part, time, entry in parts])
        return qwen_image_21_velocity(
            self.module,
            x.to(self.device, self.dtype),
            timestep.to(self.device, torch.float32),
            embeds=self.text(entries, batch, self.text_width),
            references=references,
            picture_places=places.pop(),
            kept=self.recall(entries, variation, batch),
        )


def _places(entry: ConditioningEntry, references: Sequence[Tensor]) -> tuple[tuple[int, int, int], ...]:
    """Where the reference pictures stand in the text; what is seen without a reference stays text.

    Raises:
        InvalidInputError: The text encoder saw other pictures.
    """
    places = tuple(tuple(place) for place in entry.extras.get(PLACES, ())) if references else ()
    sizes = [tuple(edge / TOKEN for edge in reference.shape[-2:]) for reference in references]
    if [place[1:] for place in places] != sizes:
        raise InvalidInputError(
            f"the text encoder saw {len(places)} pictures, and the references are {len(sizes)} other ones"
            if len(places) != len(sizes)
            else "the references have other sizes than the pictures that the text encoder saw",
            advice="encode text and pictures together with encode_prompts_with_images, and add no references to it",
        )
    return places
