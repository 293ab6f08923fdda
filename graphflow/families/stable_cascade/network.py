"""Networks of Stable Cascade that Diffusers has not, or has otherwise."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ModelMixin, StableCascadeUNet
from torch import Tensor, nn
from torchvision.models import efficientnet_v2_s


class CascadeUnet(StableCascadeUNet):  # type: ignore[misc]  # diffusers is not followed
    """A `StableCascadeUNet` that reads the time in float32, whatever it computes in."""

    def get_timestep_ratio_embedding(self, timestep_ratio: Tensor, max_positions: int = 10_000) -> Tensor:
        """Sinusoids of times (N,) in [0, 1]."""
        time = timestep_ratio.float()
        found: Tensor = super().get_timestep_ratio_embedding(time, max_positions)
        return found.to(self.dtype)


class CascadeAutoencoder(ModelMixin):  # type: ignore[misc]
    """What stands for an autoencoder of stage C's latents: an encoder of pictures, and a decoder for previews.

    Args:
        encoder: Whether the file has the encoder.
        previewer: Whether it has the decoder.
    """

    def __init__(self, *, encoder: bool, previewer: bool) -> None:
        super().__init__()
        self.encoder = _Encoder() if encoder else None
        self.previewer = _Previewer() if previewer else None


class _Encoder(nn.Module):  # type: ignore[misc]
    """EfficientNetV2-S (Tan & Le 2021, arXiv:2104.00298), whose last features are mapped to sixteen channels."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = efficientnet_v2_s().features.eval()
        mapped = nn.Conv2d(1280, 16, kernel_size=1, bias=False)
        self.mapper = nn.Sequential(mapped, nn.BatchNorm2d(16, affine=False))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]))

    def forward(self, pixels: Tensor) -> Tensor:
        """From pictures (B, 3, H, W) in [0, 1] to latents (B, 16, H / 32, W / 32)."""
        mean, deviation = self.mean[:, None, None], self.std[:, None, None]
        found: Tensor = self.mapper(self.backbone((pixels - mean) / deviation))
        return found


class _Previewer(nn.Module):  # type: ignore[misc]
    """Convolutions that enlarge eight times, from sixteen channels to three."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[Any] = []

        def add(layer: Any, width: int) -> None:
            layers.extend((layer, nn.GELU(), nn.BatchNorm2d(width)))

        add(nn.Conv2d(16, 512, kernel_size=1), 512)
        add(nn.Conv2d(512, 512, kernel_size=3, padding=1), 512)
        for before, after in ((512, 256), (256, 128), (128, 128)):
            add(nn.ConvTranspose2d(before, after, kernel_size=2, stride=2), after)
            add(nn.Conv2d(after, after, kernel_size=3, padding=1), after)
        layers.append(nn.Conv2d(128, 3, kernel_size=1))
        self.blocks = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """From latents (B, 16, h, w) to pictures (B, 3, 8 h, 8 w)."""
        found: Tensor = self.blocks(latents)
        return found
