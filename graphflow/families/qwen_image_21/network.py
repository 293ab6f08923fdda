"""What Qwen-Image 2.1's transformer makes of tensors; exported scripts carry this."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import torch
from diffusers.models.transformers.transformer_qwenimage21 import QwenImage21KVCache
from torch import Tensor

from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.patches import pack, unpack

TOKEN = 2
"""Samples of a latent along an edge that stand in the place of one token of the text encoder."""


def qwen_image_21_velocity(
    network: Any,
    x: Tensor,
    time: Tensor,
    *,
    embeds: Tensor,
    references: Sequence[Tensor] = (),
    picture_places: Sequence[tuple[int, int, int]] = (),
    kept: MutableMapping[str, Any] | None = None,
) -> Tensor:
    """The flow's velocity, (B, C, h, w) as x.

    Args:
        network: A Diffusers `QwenImage21Transformer2DModel`.
        x: Latents (B, C, h, w) in the network's space and dtype; edges are even.
        time: (B,) float32, from 0 to 1.
        embeds: The language model's states (B, T, D).
        references: Latents (B, C, h', w') of pictures to look at.
        picture_places: Where they stand in the text: (first token, rows, columns) of each.
        kept: Where what it makes of text and references is kept, so that later calls leave them out.

    Raises:
        ValueError: The text encoder saw other pictures, or an edge is odd.
    """
    if why := qwen_image_21_misfit(x, references, picture_places):
        raise ValueError(why)
    height, width = x.shape[-2:]
    places = picture_places if references else ()
    pictures, length = [*references, x], embeds.shape[1]
    count = length + height * width // TOKEN**2
    seen = torch.zeros(1, count, dtype=torch.bool, device=x.device)
    seen[:, length:] = True
    for first, rows, columns in places:
        seen[:, first : first + rows * columns] = True
    mode = None if kept is None else "cached" if kept else "extract"
    cache = None
    if kept is not None:
        blocks = len(network.transformer_blocks)
        cache = kept.setdefault("cache", QwenImage21KVCache(blocks))
    shapes = [(1, *picture.shape[-2:]) for picture in pictures]
    with exact_numbers(network.time_text_embed.time_proj, time):
        output: Tensor = network(
            hidden_states=torch.cat([pack(picture, 1) for picture in pictures], dim=1),
            encoder_hidden_states=embeds,
            timestep=time,
            img_shapes=[shapes] * len(x),
            img_mask=seen,
            kv_cache=cache,
            kv_cache_mode=mode,
            return_dict=False,
        )[0]
    return unpack(output[:, -height * width :], height, width, 1)


def qwen_image_21_misfit(
    x: Tensor, references: Sequence[Tensor] = (), picture_places: Sequence[tuple[int, int, int]] = ()
) -> str:
    """What keeps the network from drawing; empty where nothing does. Arguments are those of its velocity."""
    if any(edge % TOKEN for edge in x.shape[-2:]):
        return "The edges of the picture are no multiples of 32 pixels; choose such a size."
    places = picture_places if references else ()
    sizes = [tuple(picture.shape[-2:]) for picture in references]
    if [(TOKEN * rows, TOKEN * columns) for _, rows, columns in places] != sizes:
        return (
            "The text encoder saw other pictures than the references; "
            "have it read the instruction and the pictures together."
        )
    return ""
