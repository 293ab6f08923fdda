"""What Qwen-Image's transformer makes of tensors; exported scripts carry these functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.patches import pack, unpack, whole_patches
from graphflow.families.qwen_image.places import Grid, Places, clean_grids_behind


def with_places(network: Any) -> None:
    """Have a Diffusers `QwenImageTransformer2DModel` read places as `Grid` has them."""
    network.pos_embed = Places(network.config.axes_dims_rope)


def qwen_image_velocity(
    network: Any,
    x: Tensor,
    time: Tensor,
    *,
    embeds: Tensor,
    references: Sequence[Tensor] = (),
    arrange: Callable[..., list[Grid]] | None = None,
    **_: Any,
) -> Tensor:
    """The flow's velocity, of the shape of x.

    Args:
        network: The transformer, with its places.
        x: Latents (B, C, h, w) or (B, C, frames, h, w) in the network's space and dtype.
        time: (B,) float32, from 0 to 1.
        embeds: The language model's states (B, T, D).
        references: Latents (B, C, h', w') or (B, C, frames, h', w') of pictures to look at.
        arrange: Where these stand: from their (frames, rows, columns) to grids.
    """
    tokens, shape = frame_tokens(x)
    grids, count = [Grid(*shape)], tokens.shape[1]
    if references and arrange is not None:
        seen = [frame_tokens(picture) for picture in references]
        tokens = torch.cat([tokens, *(found for found, _ in seen)], dim=1)
        grids += arrange([size for _, size in seen])
    clean = len(grids) > 1 and arrange is clean_grids_behind
    projection = network.time_text_embed.time_proj
    with clean_references(network, clean=clean), exact_numbers(projection, time):
        output: Tensor = network(
            hidden_states=tokens,
            encoder_hidden_states=embeds,
            timestep=time,
            img_shapes=[grids] * len(x),
            return_dict=False,
        )[0]
    frames = output[:, :count].unflatten(1, (shape[0], -1)).flatten(0, 1)
    made = unpack(frames, *x.shape[-2:]).unflatten(0, (len(x), -1)).transpose(1, 2)
    return made.reshape(x.shape)


def frame_tokens(latent: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """Tokens (B, n, 4 C) of latents (B, C, frames, h, w), or (B, C, h, w) of one frame, and (frames, rows, columns)."""
    frames = latent.unsqueeze(2) if latent.dim() == 4 else latent
    planes = whole_patches(frames.transpose(1, 2).flatten(0, 1))
    shape = (frames.shape[2], planes.shape[-2] // 2, planes.shape[-1] // 2)
    return pack(planes).reshape(len(latent), math.prod(shape), -1), shape


@contextmanager
def clean_references(network: Any, *, clean: bool) -> Iterator[None]:
    """Have the network take references for pictures without noise, or not, until the block ends."""
    parts = (network, *network.transformer_blocks)
    before = network.zero_cond_t
    try:
        for part in parts:
            part.zero_cond_t = clean
        yield
    finally:
        for part in parts:
            part.zero_cond_t = before
