"""The toy family's networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphflow.loading.components import FindVectors, Module
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import LatentFormat
from graphflow.sampling.network import Denoiser
from graphflow.sampling.prediction import ModelSampling
from graphflow.values import Conditioning, ConditioningEntry

from .family import FAMILY


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        parts = (layer(x)[:, None] for layer in (self.to_q, self.to_k, self.to_v))
        return functional.scaled_dot_product_attention(*parts, attn_mask=allowed[:, None, None])[:, 0]


class Joint(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = Attention(width)


class ToyTransformer(nn.Module):
    """One layer of joint attention over picture, sound and text."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.picture_in, self.sound_in = nn.Linear(5, width), nn.Linear(2, width)
        self.joint = Joint(width)
        self.picture_out, self.sound_out = nn.Linear(width, 5), nn.Linear(width, 2)

    def forward(
        self, picture: Tensor, sound: Tensor, time: Tensor, text: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        height, width = picture.shape[-2:]
        tokens = [self.picture_in(picture.flatten(2).mT), self.sound_in(sound.mT), text]
        x = torch.cat(tokens, dim=1) + time[:, None, None]
        seen = torch.cat([mask.new_ones(len(x), x.shape[1] - mask.shape[1]), mask], dim=1) > 0
        x = x + self.joint.attn(x, seen)
        pixels, samples, _ = x.split([part.shape[1] for part in tokens], dim=1)
        return self.picture_out(pixels).mT.unflatten(2, (height, width)), self.sound_out(samples).mT


class ToyText(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.bytes = nn.Embedding(256, width)


class ToyPixels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(5, 3)


@dataclass(kw_only=True, eq=False)
class ToyDenoiser(Denoiser):
    module: Any
    device: torch.device
    dtype: torch.dtype
    model_sampling: ModelSampling = field(default_factory=lambda: ModelSampling.flow(3.0))
    latent: LatentFormat = FAMILY.latent
    guidance: list[Any] = field(default_factory=list)
    variations: dict[str, Any] = field(default_factory=dict)
    further_sides: dict[str, Any] = field(default_factory=dict)
    make_mask_schedule: Any = None

    def predict_set(
        self,
        x: Mapping[str, Tensor],
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor,
        variation: str | None = None,
    ) -> dict[str, Tensor]:
        repeats = len(timestep) // len(entries)
        text = torch.cat([entry.embedding.expand(repeats, -1, -1) for entry in entries])
        mask = torch.cat(
            [entry.attention_mask.expand(repeats, -1) for entry in entries if entry.attention_mask is not None]
        )
        picture, sound = self.module(x["samples"], x["sound"], timestep / 1000, text, mask)
        return {"samples": picture, "sound": sound}

    def memory(self, shape: Sequence[int]) -> int:
        return 1 << 20


@dataclass
class ToyEncoder:
    module: Any

    def encode(self, text: str, texts: Mapping[str, str] | None = None) -> Conditioning:
        """Eight tokens, the rest of them masked."""
        codes = list(text.encode())[:8]
        padded = torch.tensor([codes + [0] * (8 - len(codes))])
        mask = torch.tensor([[1.0] * max(1, len(codes)) + [0.0] * (8 - max(1, len(codes)))])
        return Conditioning(entries=(ConditioningEntry(embedding=self.module.bytes(padded), attention_mask=mask),))


@dataclass
class ToyAutoencoder:
    module: Any
    latent_channels: int = 5
    downscale: int = 8

    def decode(self, latents: Tensor, tile: int = 0, overlap: int = 0) -> Tensor:
        pixels = self.module.mix(latents.movedim(1, -1)).movedim(-1, 1).sigmoid()
        return functional.interpolate(pixels, scale_factor=8)


class ToyComponents:
    def build(self, part: Part) -> nn.Module:
        classes: dict[str, Callable[..., nn.Module]] = {
            "ToyTransformer": ToyTransformer,
            "ToyText": ToyText,
            "ToyPixels": ToyPixels,
        }
        return classes[part.class_name](**part.config)

    def denoiser(self, part: Module) -> ToyDenoiser:
        return ToyDenoiser(module=part.module, device=part.device, dtype=part.dtype)

    def encoder(
        self,
        parts: tuple[Module, ...],
        *,
        layer: int | None,
        find_embedding: FindVectors,
        tokens: Mapping[str, Mapping[str, Tensor]],
    ) -> ToyEncoder:
        return ToyEncoder(parts[0].module)

    def autoencoder(self, part: Module) -> ToyAutoencoder:
        return ToyAutoencoder(part.module)
