"""What Chroma's transformer makes of tensors; exported scripts carry this."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.patches import pack, positions, unpack, whole_patches

NORM_EPS = 1e-6
"""Added to a mean square before its root in the network that makes the modulations, as its authors have it."""


def finely_normed(network: Any) -> None:
    """Have a Diffusers `ChromaTransformer2DModel` make its modulations as its authors do."""
    for norm in network.get_submodule("distilled_guidance_layer.norms").children():
        norm.eps = NORM_EPS


def chroma_velocity(network: Any, x: Tensor, time: Tensor, *, embeds: Tensor, **_: Any) -> Tensor:
    """The flow's velocity, (B, C, h, w) as x.

    Args:
        network: A Diffusers `ChromaTransformer2DModel`.
        x: Latents (B, C, h, w) in the network's space and dtype.
        time: (B,) float32, from 0 to 1.
        embeds: T5's states (B, T, D).
    """
    height, width = x.shape[-2:]
    latent = whole_patches(x)
    places = positions(latent.shape[-2] // 2, latent.shape[-1] // 2)
    with exact_numbers(network.time_text_embed.time_proj, time * 1000):
        output: Tensor = network(
            hidden_states=pack(latent),
            encoder_hidden_states=embeds,
            timestep=time,
            img_ids=places.to(x),
            txt_ids=torch.zeros(embeds.shape[1], 3).to(x),
            return_dict=False,
        )[0]
    return unpack(output, height, width)
