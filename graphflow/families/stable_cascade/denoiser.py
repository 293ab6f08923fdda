"""Stable Cascade's diffusion models as the sampling loop sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.stable_cascade.evaluating import cascade_noise
from graphflow.modelfiles.footprint import Footprint
from graphflow.sampling.image_prompts import taken_prompts
from graphflow.values import Conditioning, ConditioningEntry

PRIOR = "stage_c"
"""Where a conditioning entry's extras have stage C's latents."""
_PICTURES = "stage_c_pictures"


def _width(config: Mapping[str, Any]) -> int:
    """Channels of the widest level, for each sample that a token stands for."""
    return int(max(config["block_out_channels"]) / config["patch_size"] ** 2)


@dataclass(kw_only=True, eq=False)
class CascadeDenoiser(FlowDenoiser):
    """Stage C, which reads text and pictures, or stage B, which reads the pooled text and what stage C made."""

    footprint = Footprint(numbers=40, width=_width)

    @property
    def text_width(self) -> int | None:
        """Width of the text embeddings that stage C reads."""
        width: int | None = self.module.config.clip_text_in_channels
        return width

    def complete(self, told: Conditioning, height: int, width: int, *, negative: bool, seed: int = 0) -> Conditioning:
        """Have stage C see pictures, without noise; stage B sees none."""
        entries = tuple(map(self._seeing, told.entries)) if self.text_width else told.entries
        return Conditioning(entries=entries)

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
        """The noise in latents (n * B, C, h, w); see :class:`graphflow.sampling.network.Denoiser`.

        Raises:
            InvalidInputError: The entries do not fit the network.
        """
        self.refuse_controls(entries)
        config, batch = self.module.config, len(x) // len(entries)

        def told_of(name: str, *missing: int) -> Tensor:
            return self.stacked([entry.extras.get(name, torch.zeros(missing)) for entry in entries], batch)

        if config.clip_text_in_channels:
            text = self.text(entries, batch, config.clip_text_in_channels)
            told = {"embeds": text, "pictures": told_of(_PICTURES, 1, 1, config.clip_image_in_channels)}
        else:
            told = {"stage_c": told_of(PRIOR, 1, config.effnet_in_channels, 1, 1)}
        with self.varied(variation):
            output = cascade_noise(
                self.module,
                x.to(self.device, self.dtype),
                timestep.to(self.device),
                pooled=self.pooled(entries, batch, config.clip_text_pooled_in_channels),
                **told,
            )
        return output.to(x.device, x.dtype)

    def _seeing(self, entry: ConditioningEntry) -> ConditioningEntry:
        bare, prompts = taken_prompts(entry)
        if not prompts:
            return entry
        pictures = torch.cat([vectors * strength for vectors, strength, _ in prompts])[None]
        wanted = self.module.config.clip_image_in_channels
        if pictures.shape[-1] != wanted:
            raise InvalidInputError(
                f"the image encoder makes vectors of width {pictures.shape[-1]}, the model reads {wanted}",
                where="image_encoder",
                advice="use the image encoder inside stage C's checkpoint (CLIP ViT-L)",
            )
        extras: dict[str, Any] = {**bare.extras, _PICTURES: pictures}
        return replace(bare, extras=extras)
