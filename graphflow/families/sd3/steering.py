"""What Stable Diffusion 3's ControlNets make of tensors; exported scripts carry these functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphflow.families.flow.patches import whole_patches
from graphflow.families.flow.residuals import Residuals, added_by, block_lists, over_blocks

SD3_BLOCKS = "block_controlnet_hidden_states"


def sd3_hint(net: Any, picture: Tensor) -> Tensor:
    """Latents (K, C, h, w) that fill patches."""
    return whole_patches(picture, net.config.patch_size)


def sd3_residuals(net: Any, latents: Tensor, told: Mapping[str, Any], strength: float, transformer: Any) -> Residuals:
    """What a ControlNet adds behind the blocks.

    Args:
        net: A Diffusers `SD3ControlNetModel`.
        latents: What :func:`sd3_hint` made, of B items.
        told: What the transformer gets.
        strength: Factor on it.
        transformer: The transformer.
    """
    latent, pooled = told["hidden_states"], told["pooled_projections"]
    if net.pos_embed is None:  # Stability AI's have the transformer's
        latent = transformer.pos_embed(latent)
    if net.config.force_zeros_for_pooled_projection:
        pooled = torch.zeros_like(pooled)
    text = told["encoder_hidden_states"]
    (samples,) = net(
        hidden_states=latent,
        controlnet_cond=latents,
        encoder_hidden_states=None if net.config.joint_attention_dim is None else text,
        pooled_projections=pooled,
        timestep=told["timestep"],
        return_dict=False,
    )
    blocks = len(transformer.transformer_blocks)
    return over_blocks(SD3_BLOCKS, samples, blocks, strength, whole=False)


def sd3_steered(
    controls: Sequence[Mapping[str, Any]], network: Any, x: Tensor, time: Tensor, told: Mapping[str, Any]
) -> dict[str, list[Tensor]]:
    """Arguments of `sd3_velocity` by which ControlNets steer.

    Args:
        controls: Of each `net`, `picture` as :func:`sd3_hint` made it of B items, and `strength`.
        network: The transformer.
        x: Latents as there.
        time: As there.
        told: Its other arguments.
    """
    asked = {
        "hidden_states": whole_patches(x, network.config.patch_size),
        "encoder_hidden_states": told["embeds"],
        "pooled_projections": told["pooled"],
        "timestep": time,
    }
    found = added_by(controls, sd3_residuals, asked, network)
    return block_lists(found, {SD3_BLOCKS: len(network.transformer_blocks)})
