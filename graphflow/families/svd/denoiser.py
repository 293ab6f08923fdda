"""Stable Video Diffusion's UNet as the sampling loop sees it: a batch of latents is the frames of one video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.svd.evaluating import svd_velocity
from graphflow.families.svd.family import FAMILY
from graphflow.sampling.regions import PICTURE
from graphflow.values import ConditioningEntry

TOLD = {"fps": 6.0, "motion": 127.0, "noise_augmentation": 0.0}
"""Extras of an entry: frames a second, how much moves, and how much noise is on the first frame; with what they usually are."""


@dataclass(kw_only=True, eq=False)
class SvdDenoiser(FlowDenoiser):
    """The UNet over space and time."""

    footprint = FAMILY.footprint
    spans_batch = True

    @property
    def text_width(self) -> int | None:
        """Width of the image embedding that it reads in place of text."""
        width: int = self.module.config.cross_attention_dim
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
        """The velocity of frames (n * F, C, h, w); see :class:`graphflow.sampling.network.Denoiser`.

        Raises:
            InvalidInputError: The entries do not fit the network.
        """
        self.refuse_controls(entries)
        config = self.module.config
        nothing = torch.zeros(1, config.in_channels - x.shape[1], *x.shape[-2:])
        told = {
            name: torch.tensor([float(entry.extras.get(name, usual)) for entry in entries], device=self.device)
            for name, usual in TOLD.items()
        }
        with self.varied(variation):
            output = svd_velocity(
                self.module,
                x.to(self.device, self.dtype),
                timestep.to(self.device),
                embeds=self.text(entries, 1, config.cross_attention_dim),
                picture=self.stacked([entry.extras.get(PICTURE, nothing) for entry in entries], 1),
                **told,
                videos=len(entries),
            )
        return output.to(x.device, x.dtype)
