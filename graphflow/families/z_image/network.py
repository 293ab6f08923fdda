"""What Z-Image's transformer makes of tensors; exported scripts carry this."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphflow.families.flow.patches import further, whole_patches

FILLED_TO = 32
"""Tokens of a text and of a picture are filled up to a multiple of this."""


def z_image_velocity(network: Any, x: Tensor, time: Tensor, *, embeds: Tensor, **added: Any) -> Tensor:
    """The flow's velocity, (B, C, h, w) as x; the network's own time and velocity run from noise to the picture.

    Args:
        network: A Diffusers `ZImageTransformer2DModel`.
        x: Latents (B, C, h, w) in the network's space and dtype.
        time: (B,) float32, from 0 to 1.
        embeds: The language model's states (B, T, D).
        added: Further arguments of the network.
    """
    height, width = x.shape[-2:]
    latent, rope = whole_patches(x), network.rope_embedder
    rows, columns = latent.shape[-2] // 2, latent.shape[-1] // 2
    text = embeds.shape[1] + -embeds.shape[1] % FILLED_TO + 2
    if (longer := further(rope.axes_lens, text, rows, columns)) is not None:
        rope.axes_lens, rope.freqs_cis = longer, None
    pictures = list(latent[:, :, None])
    told = {"x": pictures, "t": 1 - time, "cap_feats": list(embeds), **added}
    (output,) = network(**told, return_dict=False)
    return -torch.stack(output)[:, :, 0, :height, :width]
