"""Stable Video Diffusion's UNet as the sampling loop sees it: a batch of latents is the frames of one video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.latent_diffusion.saving import UNET, Config, Tensors, config_of, tensors_as, vision_tensors
from graphflow.families.svd.config import UNET as CLASS
from graphflow.families.svd.family import FAMILY
from graphflow.families.svd.names import svd_modules
from graphflow.sampling.regions import PICTURE
from graphflow.values import ConditioningEntry

TOLD = ("fps", "motion", "noise_augmentation")
"""Extras of an entry: frames a second, how much moves, and how much noise is on the first frame."""
_SEES = "conditioner.embedders.0.open_clip.model.visual."
_DEFAULTS = {"fps": 6.0, "motion": 127.0, "noise_augmentation": 0.0}


@dataclass(kw_only=True, eq=False)
class SvdDenoiser(FlowDenoiser):
    """The UNet over space and time."""

    footprint = FAMILY.footprint
    spans_batch = True

    def file_tensors(self) -> tuple[Tensors, Config, str]:
        """Its tensors in the authors' layout, and its config."""
        modules = svd_modules(CLASS, self.module.config)
        return dict(tensors_as(self.module, modules, UNET)), {"transformer": config_of(self.module)}, ""

    def image_encoder_tensors(self, module: Any) -> tuple[Tensors, Config]:
        """The tensors of an image encoder as they stand in a checkpoint of this family, and its config."""
        return vision_tensors(module, _SEES)

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
        frames, config = len(x) // len(entries), self.module.config
        video = x.to(self.device, self.dtype).unflatten(0, (len(entries), frames))
        nothing = torch.zeros(1, config.in_channels - x.shape[1], *x.shape[-2:])
        first = self.stacked([entry.extras.get(PICTURE, nothing) for entry in entries], 1)
        rows = [[float(entry.extras.get(name, _DEFAULTS[name])) for name in TOLD] for entry in entries]
        told = torch.tensor(rows) - torch.tensor([1.0, 0.0, 0.0])  # it was trained with one frame a second less
        with self.varied(variation):
            output: Tensor = self.module(
                torch.cat([video, first[:, None].expand(-1, frames, -1, -1, -1)], dim=2),
                timestep.to(self.device).unflatten(0, (len(entries), frames))[:, 0],
                self.text(entries, 1, config.cross_attention_dim),
                told.to(self.device, self.dtype),
                return_dict=False,
            )[0]
        return output.flatten(0, 1).to(x.device, x.dtype)
