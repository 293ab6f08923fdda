"""What Stable Cascade's diffusion models make of tensors; exported scripts carry this."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def cascade_noise(
    network: Any,
    x: Tensor,
    time: Tensor,
    *,
    pooled: Tensor,
    embeds: Tensor | None = None,
    stage_c: Tensor | None = None,
    pictures: Tensor | None = None,
) -> Tensor:
    """The noise in latents, (B, C, h, w) as x, as stage C or stage B sees it.

    Args:
        network: A Diffusers `StableCascadeUNet`.
        x: Latents (B, C, h, w) of variance 1, in the network's dtype.
        time: (B,) float32, from 0 to 1.
        pooled: Pooled text (B, D').
        embeds: Embedding of the text (B, T, D), which stage C reads.
        stage_c: What stage C made (B, 16, h', w'), which stage B reads; without it zeros, which is not the same as nothing.
        pictures: Vectors of pictures (B, n, D''), which stage C reads; without them one of zeros.
    """
    config = network.config
    if config.clip_text_in_channels:
        if pictures is None:
            pictures = x.new_zeros(len(x), 1, config.clip_image_in_channels)
        told = {"clip_text": embeds, "clip_img": pictures}
    else:
        if stage_c is None:
            stage_c = x.new_zeros(len(x), config.effnet_in_channels, 1, 1)
        told = {"effnet": stage_c}
    told |= {"timestep_ratio": time, "clip_text_pooled": pooled[:, None]}
    output: Tensor = network(sample=x, **told, return_dict=False)[0]
    return output
