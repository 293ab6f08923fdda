"""What Qwen-Image's transformer makes of tensors; exported scripts carry these functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.patches import unpack
from graphflow.families.qwen_image.places import Grid, Places, clean_grids_behind
from graphflow.families.qwen_image.tokens import tokens_of


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
    within: Callable[[], AbstractContextManager[None]] = nullcontext,
    **added: Any,
) -> Tensor:
    """The flow's velocity, of the shape of x.

    Args:
        network: The transformer, with its places.
        x: Latents (B, C, h, w) or (B, C, frames, h, w) in the network's space and dtype.
        time: (B,) float32, from 0 to 1.
        embeds: The language model's states (B, T, D).
        references: Latents (B, C, h', w') or (B, C, frames, h', w') of pictures to look at.
        arrange: Where these stand: from their (frames, rows, columns) to grids.
        within: What holds while the network computes.
        added: Further arguments of the network.
    """
    tokens, shape = tokens_of(x)
    grids, count = [Grid(*shape)], tokens.shape[1]
    if references and arrange is not None:
        seen = [tokens_of(picture) for picture in references]
        tokens = torch.cat([tokens, *(found for found, _ in seen)], dim=1)
        grids += arrange([size for _, size in seen])
    if network.config.use_additional_t_cond:
        # 1 would say that all layers are opaque pictures.
        kinds = torch.zeros(len(x), dtype=torch.long, device=x.device)
        added["additional_t_cond"] = kinds
    clean = len(grids) > 1 and arrange is clean_grids_behind
    projection = network.time_text_embed.time_proj
    exact = exact_numbers(projection, time)
    with clean_references(network, clean=clean), exact, within():
        output: Tensor = network(
            hidden_states=tokens,
            encoder_hidden_states=embeds,
            timestep=time,
            img_shapes=[grids] * len(x),
            return_dict=False,
            **added,
        )[0]
    frames = output[:, :count].unflatten(1, (shape[0], -1)).flatten(0, 1)
    made = unpack(frames, *x.shape[-2:]).unflatten(0, (len(x), -1)).transpose(1, 2)
    return made.reshape(x.shape)


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
