"""What the autoencoder makes, and what the model works on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphflow.modelfiles.family import LatentFormat


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentSpace:
    """The affine map between what the autoencoder makes and what the model works on: (raw - shift) / deviation * scale.

    Attributes:
        scale: For all channels.
        shift: For all channels, or by channel.
        deviation: For all channels, or by channel.
    """

    scale: float = 1.0
    shift: float | tuple[float, ...] = 0.0
    deviation: float | tuple[float, ...] = 1.0

    def enter(self, raw: Tensor) -> Tensor:
        """To the model's space. An all-zero latent stands for an empty picture and stays zero."""
        if not raw.count_nonzero():
            return raw
        shift, deviation = by_channel(self.shift, raw), by_channel(self.deviation, raw)
        return (raw - shift) / deviation * self.scale

    def leave(self, scaled: Tensor) -> Tensor:
        """Back to the autoencoder's space."""
        deviation = by_channel(self.deviation, scaled)
        return scaled / self.scale * deviation + by_channel(self.shift, scaled)


def space_of(latent: LatentFormat) -> LatentSpace:
    """The map of a family's latents."""
    return LatentSpace(
        scale=latent.scale,
        shift=latent.mean or latent.shift,
        deviation=latent.deviation or 1.0,
    )


def by_channel(value: float | tuple[float, ...], latent: Tensor) -> float | Tensor:
    """A number for each channel as a tensor that goes with latents (B, C, ...)."""
    if isinstance(value, float):
        return value
    values = torch.tensor(value, dtype=latent.dtype, device=latent.device)
    return values.reshape(-1, *(1,) * (latent.ndim - 2))
