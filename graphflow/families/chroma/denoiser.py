"""Chroma's transformer as the sampling loop sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.chroma.family import FAMILY
from graphflow.families.chroma.network import chroma_velocity
from graphflow.families.flow.denoiser import REFERENCES, FlowDenoiser
from graphflow.values import ConditioningEntry


@dataclass(kw_only=True, eq=False)
class ChromaDenoiser(FlowDenoiser):
    """What `Model.use()` gives for a Chroma model; it reads no guidance, no pooled text and no mask of the text."""

    footprint = FAMILY.footprint

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
        self.refuse_controls(entries)
        if any(entry.extras.get(REFERENCES) for entry in entries):
            raise InvalidInputError(
                "Chroma's models look at no reference pictures", advice="take add_reference_latent out"
            )
        text = self.text(entries, len(x) // len(entries), self.module.config.joint_attention_dim)
        time = timestep.to(self.device, torch.float32)
        with self.varied(variation):
            output = chroma_velocity(self.module, x.to(self.device, self.dtype), time, embeds=text)
        return output.to(x.device, torch.float32)
