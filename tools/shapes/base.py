"""What the add-ons of the shapes model share: its loaded parts, and one training step's loss on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from text import token_ids
from train_unet import Pool, focus
from transformers import CLIPTextModel, CLIPTokenizer
from unet import Noising

Predict = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""A denoiser's call: noisy latents, timesteps and text states to the predicted velocity."""


@dataclass
class Base:
    """The frozen parts of a trained shapes model, in single precision."""

    vae: AutoencoderKL
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    noising: Noising

    @classmethod
    def load(cls, folder: Path) -> Base:
        """Load from a Diffusers folder."""
        options = {"torch_dtype": torch.float32}
        vae = AutoencoderKL.from_pretrained(folder / "vae", **options).requires_grad_(False)
        text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", **options).requires_grad_(False)
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", **options).requires_grad_(False)
        return cls(vae, CLIPTokenizer.from_pretrained(folder / "tokenizer"), text_encoder.eval(), unet, Noising())

    def loss(self, predict: Predict, pool: Pool, chosen: torch.Tensor, dropout: float = 0.1) -> torch.Tensor:
        """Velocity loss of a denoiser on examples of a pool (their indices), half of it where the shapes are.

        A share `dropout` of the captions is left out.
        """
        empty = token_ids(self.tokenizer, [""])
        ids, x0, count = pool.ids[chosen], pool.latents[chosen], len(chosen)
        context = self.text_encoder(torch.where(torch.rand(count, 1) < dropout, empty, ids)).last_hidden_state
        t = (1000 * ((torch.arange(count) + torch.rand(count)) / count) ** 0.8).long()
        noise = torch.randn_like(x0)
        noisy, target = self.noising(x0, noise, t)
        error = (predict(noisy, t, context) - target).square()
        return torch.as_tensor((error * focus(pool.cells[chosen], 0.5)).mean())

    def predict(self, noisy: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The UNet's own velocity."""
        return torch.as_tensor(self.unet(noisy, t, context, return_dict=False)[0])
