"""What Lumina 2's transformer makes of tensors; exported scripts carry this."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphflow.families.flow.patches import further, whole_patches


def lumina2_velocity(network: Any, x: Tensor, time: Tensor, *, embeds: Tensor, **_: Any) -> Tensor:
    """The flow's velocity, (B, C, h, w) as x; the network's own time and velocity run from noise to the picture.

    Args:
        network: A Diffusers `Lumina2Transformer2DModel`.
        x: Latents (B, C, h, w) in the network's space and dtype.
        time: (B,) float32, from 0 to 1.
        embeds: The language model's states (B, T, D).
    """
    height, width = x.shape[-2:]
    latent, rope = whole_patches(x), network.rope_embedder
    rows, columns = latent.shape[-2] // 2, latent.shape[-1] // 2
    longer = further(rope.axes_lens, embeds.shape[1] + 1, rows, columns)
    if longer is not None:
        made = type(rope)(rope.theta, rope.axes_dim, longer, rope.patch_size)
        network.rope_embedder = made
    output: Tensor = network(
        hidden_states=latent,
        timestep=1 - time,
        encoder_hidden_states=embeds,
        encoder_attention_mask=torch.ones_like(embeds[:, :, 0], dtype=torch.long),
        return_dict=False,
    )[0]
    return -output[..., :height, :width]
