"""What Qwen-Image's ControlNets make of tensors; exported scripts carry these functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.residuals import Residuals, added_by, block_lists, over_blocks
from graphflow.families.qwen_image.places import Grid
from graphflow.families.qwen_image.tokens import tokens_of

QWEN_BLOCKS = "controlnet_block_samples"


def qwen_hint(_net: Any, picture: Tensor) -> Tensor:
    """Tokens (K, n, C) of latents."""
    return tokens_of(picture)[0]


def qwen_residuals(net: Any, tokens: Tensor, told: Mapping[str, Any], strength: float, transformer: Any) -> Residuals:
    """What a ControlNet adds behind the blocks.

    Args:
        net: A Diffusers `QwenImageControlNetModel`, with its places.
        tokens: What :func:`qwen_hint` made, of B items.
        told: What the transformer gets, without reference pictures.
        strength: Factor on it.
        transformer: The transformer.
    """
    with exact_numbers(net.time_text_embed.time_proj, told["timestep"].float()):
        samples = net(**told, controlnet_cond=tokens, return_dict=False)
    blocks = len(transformer.transformer_blocks)
    return over_blocks(QWEN_BLOCKS, samples, blocks, strength)


def qwen_steered(
    controls: Sequence[Mapping[str, Any]],
    network: Any,
    x: Tensor,
    time: Tensor,
    told: Mapping[str, Any],
    residuals: Callable[..., Residuals] = qwen_residuals,
) -> dict[str, list[Tensor]]:
    """Arguments of `qwen_image_velocity` by which ControlNets steer.

    Args:
        controls: Of each `net`, `picture` as :func:`qwen_hint` made it of B items, and `strength`.
        network: The transformer.
        x: Latents as there.
        time: As there.
        told: Its other arguments.
        residuals: What one adds.
    """
    tokens, shape = tokens_of(x)
    asked = {
        "hidden_states": tokens,
        "encoder_hidden_states": told["embeds"],
        "timestep": time,
        "img_shapes": [[Grid(*shape)]] * len(x),
    }
    found = added_by(controls, residuals, asked, network)
    references = told.get("references", ())
    beyond = sum(tokens_of(picture)[0].shape[1] for picture in references)
    return block_lists(found, {QWEN_BLOCKS: len(network.transformer_blocks)}, beyond)
