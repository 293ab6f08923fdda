"""What FLUX.2's transformer makes of tensors; exported scripts carry this."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.families.flow.distilled import GUIDANCE
from graphflow.families.flow.exact_times import exact_numbers
from graphflow.families.flow.patches import pack, positions, unpack

TEXT = 512
"""Tokens of a text at least; shorter ones have zeros before them."""
APART = 10
"""How far the numbers of the picture and of its references are apart."""


def flux2_velocity(
    network: Any,
    x: Tensor,
    time: Tensor,
    *,
    embeds: Tensor,
    guidance: Tensor | None = None,
    references: Sequence[Tensor] = (),
    kept: MutableMapping[str, Any] | None = None,
) -> Tensor:
    """The flow's velocity, (B, C, h, w) as x.

    Args:
        network: A Diffusers `Flux2Transformer2DModel`.
        x: Latents (B, C, h, w) in the network's space and dtype.
        time: (B,) float32, from 0 to 1.
        embeds: The language model's states (B, T, D).
        guidance: (B,) what a distilled model is told; None is the usual.
        references: Latents (B, C, h', w') of pictures to look at.
        kept: Where what it makes of references is kept, so that later calls leave them out; see `with_kept_references`.
    """
    height, width = x.shape[-2:]
    mode = None if kept is None or not references else "cached" if kept else "extract"
    shown = [] if mode == "cached" else [*references]
    firsts = [APART * number for number in range(1, len(shown) + 1)]
    places, tokens = [], []
    for first, picture in zip([*firsts, 0], [*shown, x], strict=True):
        places.append(positions(*picture.shape[-2:], first=first))
        tokens.append(pack(picture, 1))
    apart = sum(part.shape[1] for part in tokens[:-1]) if mode == "extract" else 0
    text = functional.pad(embeds, (0, 0, max(0, TEXT - embeds.shape[1]), 0))
    line = torch.zeros(text.shape[1], 4)
    line[:, 3] = torch.arange(len(line))
    embedder, heard = network.time_guidance_embed, [time]
    if embedder.guidance_embedder is not None:
        heard.append(torch.full_like(time, GUIDANCE) if guidance is None else guidance)
    numbers = [1000 * number for number in heard]
    if mode == "extract":
        numbers += [torch.zeros_like(time), *numbers[1:]]  # references have the time 0
    with exact_numbers(embedder.time_proj, *numbers):
        output, *made = network(
            hidden_states=torch.cat(tokens, dim=1),
            encoder_hidden_states=text,
            timestep=time,
            guidance=heard[1] if len(heard) > 1 else None,
            img_ids=functional.pad(torch.cat(places), (0, 1)).to(x.device),
            txt_ids=line.to(x.device),
            kv_cache=kept["cache"] if kept and mode == "cached" else None,
            kv_cache_mode=mode,
            num_ref_tokens=apart,
            return_dict=False,
        )
    if made and kept is not None:
        kept["cache"] = made[0]
    return unpack(output[:, -height * width :], height, width, 1)


def with_kept_references(network: Any) -> None:
    """Have a `Flux2Transformer2DModel` keep what its attention makes of references, where it is asked to."""
    from diffusers.models.transformers import transformer_flux2

    for block in network.transformer_blocks:
        block.attn.set_processor(transformer_flux2.Flux2KVAttnProcessor())
    for block in network.single_transformer_blocks:
        block.attn.set_processor(transformer_flux2.Flux2KVParallelSelfAttnProcessor())
