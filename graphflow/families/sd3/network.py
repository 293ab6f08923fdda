"""What Stable Diffusion 3's transformer makes of tensors; exported scripts carry this."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphflow.families.flow.patches import whole_patches


def sd3_velocity(network: Any, x: Tensor, time: Tensor, *, embeds: Tensor, pooled: Tensor, **added: Any) -> Tensor:
    """The flow's velocity, (B, C, h, w) as x.

    Args:
        network: A Diffusers `SD3Transformer2DModel`.
        x: Latents (B, C, h, w) in the network's space and dtype.
        time: (B,) float32, from 0 to 1000.
        embeds: Embedding of the text (B, T, D).
        pooled: Pooled outputs of both CLIPs (B, D').
        added: Further arguments of the network.
    """
    height, width = x.shape[-2:]
    output: Tensor = network(
        hidden_states=whole_patches(x, network.config.patch_size),
        encoder_hidden_states=embeds,
        pooled_projections=pooled,
        timestep=time,
        return_dict=False,
        **added,
    )[0]
    return output[..., :height, :width]
