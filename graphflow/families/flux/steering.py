"""What FLUX.1's ControlNets make of tensors; exported scripts carry these functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphflow.families.flow.distilled import GUIDANCE
from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.patches import pack, whole_patches
from graphflow.families.flow.residuals import Residuals, added_by, block_lists, over_blocks
from graphflow.families.flux.network import flux_tokens

DOUBLE = "controlnet_block_samples"
SINGLE = "controlnet_single_block_samples"


def flux_control_net(**config: Any) -> Any:
    """An inpainting ControlNet, whose first layer reads channels beside the latent's."""
    from diffusers import FluxControlNetModel

    further = config.pop("extra_condition_channels")
    net = FluxControlNetModel(**config)
    reads = net.config.in_channels + further
    net.controlnet_x_embedder = torch.nn.Linear(reads, net.inner_dim)
    return net


def flux_hint(net: Any, picture: Tensor) -> Tensor:
    """Tokens (K, n, C) of latents, or for x-labs' ControlNets of pixels in [-1, 1]."""
    block = net.input_hint_block
    features = picture if block is None else block(picture.to(net.dtype))
    return pack(whole_patches(features))


def flux_residuals(
    net: Any, tokens: Tensor, told: Mapping[str, Any], strength: float, transformer: Any, mode: int | None = None
) -> Residuals:
    """What a ControlNet adds behind the blocks.

    Args:
        net: A Diffusers `FluxControlNetModel`.
        tokens: What :func:`flux_hint` made, of B items.
        told: What the transformer gets, without reference pictures.
        strength: Factor on it.
        transformer: The transformer.
        mode: Number of the kind of pictures that a union ControlNet gets.
    """
    guidance = told["guidance"] if net.config.guidance_embeds else None
    heard = told["timestep"], guidance
    numbers = [1000 * number.float() for number in heard if number is not None]
    before = net.input_hint_block, net.union
    # The picture has been through the former; the latter is as it was told.
    net.input_hint_block, net.union = None, mode is not None
    modes = None
    if mode is not None:
        modes = torch.full((len(tokens), 1), mode, device=tokens.device)
    asked = {**told, "guidance": guidance, "controlnet_mode": modes}
    try:
        with exact_numbers(net.time_text_embed.time_proj, *numbers):
            double, single = net(**asked, controlnet_cond=tokens, return_dict=False)
    finally:
        net.input_hint_block, net.union = before
    blocks = len(transformer.transformer_blocks)
    if before[0] is not None and double:  # x-labs' act on all blocks, in turns
        double = [double[block % len(double)] for block in range(blocks)]
    added = over_blocks(DOUBLE, double, blocks, strength)
    blocks = len(transformer.single_transformer_blocks)
    return added | over_blocks(SINGLE, single, blocks, strength)


def flux_steered(
    controls: Sequence[Mapping[str, Any]], network: Any, x: Tensor, time: Tensor, told: Mapping[str, Any]
) -> dict[str, list[Tensor]]:
    """Arguments of `flux_velocity` by which ControlNets steer.

    Args:
        controls: Of each `net`, `picture` as :func:`flux_hint` made it of B items, `strength` and, of unions, `mode`.
        network: The transformer.
        x: Latents as there.
        time: As there.
        told: Its other arguments.
    """
    pictures = told.get("references", ()), told.get("arrange")
    tokens, places, count = flux_tokens(x, None, *pictures)
    guidance = told.get("guidance")
    asked = {
        "hidden_states": tokens[:, :count],
        "encoder_hidden_states": told["embeds"],
        "pooled_projections": told["pooled"],
        "timestep": time,
        "guidance": torch.full_like(time, GUIDANCE) if guidance is None else guidance,
        "img_ids": places[:count].to(x.device),
        "txt_ids": torch.zeros(told["embeds"].shape[1], 3, device=x.device),
    }
    found = added_by(controls, flux_residuals, asked, network)
    double, single = network.transformer_blocks, network.single_transformer_blocks
    blocks = {DOUBLE: len(double), SINGLE: len(single)}
    return block_lists(found, blocks, tokens.shape[1] - count)
