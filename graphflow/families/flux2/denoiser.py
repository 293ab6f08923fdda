"""FLUX.2's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.flow.guidance import hearing, told_guidance
from graphflow.families.flux2.family import FAMILY
from graphflow.families.flux2.network import flux2_velocity
from graphflow.values import ConditioningEntry


@dataclass(kw_only=True, eq=False)
class Flux2Denoiser(FlowDenoiser):
    """What `Model.use()` gives for a FLUX.2 model.

    Extras of a conditioning entry that it reads: `guidance` (None leaves the embedding out) and `reference_latents`.
    """

    footprint = FAMILY.footprint
    caches = True

    @property
    def text_width(self) -> int:
        """Width C of the text embeddings that it reads."""
        width: int = self.module.config.joint_attention_dim
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
            InvalidInputError: The entries do not fit the network.
        """
        with self.varied(variation):
            return self.by_references(x, timestep, entries, partial(self._evaluate, variation))

    def _evaluate(
        self, variation: str | None, x: Tensor, timestep: Tensor, entries: Sequence[ConditioningEntry]
    ) -> Tensor:
        batch = len(x) // len(entries)
        self.reference_method(entries, ("index",), "index")
        references = self.references(entries, batch)
        text = self.text(entries, batch, self.text_width)
        embedder = self.module.time_guidance_embed
        guidance, heard = None, None
        if embedder.guidance_embedder is not None:
            guidance, heard = told_guidance(entries, batch, self.device, self.dtype)
        with hearing(embedder, heard):
            return flux2_velocity(
                self.module,
                x.to(self.device, self.dtype),
                timestep.to(self.device, torch.float32),
                embeds=text,
                guidance=guidance,
                references=references,
                kept=self.recall(entries, variation, batch),
            )
