"""T2I-Adapters: features of a picture, added to a UNet's encoder (Mou et al. 2023, arXiv:2302.08453)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.families.latent_diffusion.nets import fit_hint
from graphflow.families.latent_diffusion.residuals import Residuals
from graphflow.values import Vae


@dataclass(kw_only=True, eq=False)
class AdapterModel:
    """A T2I-Adapter in place.

    Attributes:
        module: A Diffusers `T2IAdapter`.
        device: Where it computes.
        dtype: Dtype it computes in.
        downscale: Pixels per latent sample along an edge.
    """

    module: Any
    device: torch.device
    dtype: torch.dtype
    downscale: int = 8
    width: int | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of its features by level."""
        return tuple(self.module.config.channels)

    @inference
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """The features; they do not depend on the noise, so they are all that it computes.

        Args:
            hint: (K, 3, H, W) in [0, 1].
            height: Height of the latent.
            width: Its width.
            vae: Not used: it reads pixels.
        """
        fold = self.module.downscale_factor
        size = [-(-edge * self.downscale // fold) * fold for edge in (height, width)]
        hint = fit_hint(hint, size[0], size[1])
        if self.module.config.in_channels == 1:
            hint = hint.mean(dim=1, keepdim=True)
        features: list[Tensor] = self.module(hint.to(self.device, self.dtype))
        return features

    def residuals(
        self,
        encoded: Sequence[Tensor],
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        added: Mapping[str, Tensor] | None,
    ) -> Residuals:
        """The features, as they are."""
        return Residuals(blocks=list(encoded))
