"""What FLUX.1's transformer makes of tensors; exported scripts carry these functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.families.flow.distilled import GUIDANCE
from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.patches import pack, positions, unpack, whole_patches


def flux_velocity(
    network: Any,
    x: Tensor,
    time: Tensor,
    *,
    embeds: Tensor,
    pooled: Tensor,
    guidance: Tensor | None = None,
    beside: Tensor | None = None,
    references: Sequence[Tensor] = (),
    arrange: Callable[..., list[Tensor]] | None = None,
    spans: Sequence[tuple[int, int, float]] = (),
    **added: Any,
) -> Tensor:
    """The flow's velocity, (B, C, h, w) as x.

    Args:
        network: A Diffusers `FluxTransformer2DModel`.
        x: Latents (B, C, h, w) in the network's space and dtype.
        time: (B,) float32, from 0 to 1.
        embeds: T5's states (B, T, D).
        pooled: CLIP's pooled output (B, D).
        guidance: (B,) what a distilled model is told; None is the usual.
        beside: Further channels (B, c, h, w), of Fill, Canny and Depth models.
        references: Latents (B, C, h', w') of pictures to look at.
        arrange: Where these stand: from their (rows, columns), and rows and columns of the picture, to places.
        spans: Tokens of the text that get more attention, see :func:`flux_attention`.
        added: Further arguments of the network.
    """
    height, width = x.shape[-2:]
    tokens, places, count = flux_tokens(x, beside, references, arrange)
    heard = [time]
    if network.config.guidance_embeds:
        heard.append(torch.full_like(time, GUIDANCE) if guidance is None else guidance)
    if spans:
        mask = flux_attention(spans, embeds.shape[1], tokens.shape[1]).to(x)
        bias = {"attention_mask": mask.expand(len(x), 1, -1, -1)}
        added["joint_attention_kwargs"] = added.get("joint_attention_kwargs", {}) | bias
    projection = network.time_text_embed.time_proj
    with exact_numbers(projection, *(1000 * number for number in heard)):
        output: Tensor = network(
            hidden_states=tokens,
            encoder_hidden_states=embeds,
            pooled_projections=pooled,
            timestep=time.to(x.dtype),
            guidance=heard[1] if len(heard) > 1 else None,
            img_ids=places.to(x.device),
            txt_ids=torch.zeros(embeds.shape[1], 3, device=x.device),
            return_dict=False,
            **added,
        )[0]
    return unpack(output[:, :count], height, width)


def flux_tokens(
    x: Tensor,
    beside: Tensor | None,
    references: Sequence[Tensor],
    arrange: Callable[..., list[Tensor]] | None,
) -> tuple[Tensor, Tensor, int]:
    """Tokens (B, n, D) of latents and of pictures to look at, where they stand (n, 3), and how many are the latents'."""
    latent = whole_patches(x if beside is None else torch.cat([x, beside], dim=1))
    rows, columns = latent.shape[-2] // 2, latent.shape[-1] // 2
    tokens, places = pack(latent), [positions(rows, columns)]
    count = tokens.shape[1]
    if references and arrange is not None:
        pictures = [whole_patches(picture) for picture in references]
        edges = [picture.shape[-2:] for picture in pictures]
        sizes = [(height // 2, width // 2) for height, width in edges]
        places += arrange(sizes, rows, columns)
        tokens = torch.cat([tokens, *map(pack, pictures)], dim=1)
    return tokens, torch.cat(places), count


def flux_channels(picture: Tensor, hole: Tensor | None = None) -> Tensor:
    """Further channels: a picture in the network's space, then 8 x 8 pixels a sample of the mask (B or 1, 1, H, W) of its hole."""
    if hole is None:
        return picture
    mask = functional.pixel_unshuffle(hole, 8)
    return torch.cat([picture, mask.expand(len(picture), -1, -1, -1)], dim=1)


def flux_attention(spans: Sequence[tuple[int, int, float]], text: int, picture: int) -> Tensor:
    """What is added to the scores of attention, (T + n, T + n), where tokens of pictures in a prompt get more or less of it.

    Args:
        spans: First token, behind the last, and the logarithm of the factor of each picture.
        text: Tokens T of the prompt.
        picture: Tokens n of the picture that is made, and of those that it looks at.
    """
    matrix = torch.zeros(text + picture, text + picture)
    for first, last, bias in spans:
        # Tokens of this picture, and of those that came later, look at it as they look at all others.
        matrix[:first, first:last] = matrix[text:, first:last] = bias
    return matrix
