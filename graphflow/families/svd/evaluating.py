"""What Stable Video Diffusion's UNet makes of tensors; exported scripts carry this."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.resnet import SpatioTemporalResBlock
from torch import Tensor, nn


def svd_velocity(
    network: Any,
    x: Tensor,
    time: Tensor,
    *,
    embeds: Tensor,
    picture: Tensor,
    fps: Tensor,
    motion: Tensor,
    noise_augmentation: Tensor,
    videos: int = 1,
) -> Tensor:
    """The velocity of frames, (N, C, h, w) as x.

    Args:
        network: A Diffusers `UNetSpatioTemporalConditionModel`.
        x: Frames (N, C, h, w) of all videos, of variance 1, in the network's dtype.
        time: (N,) float32, log(sigma) / 4.
        embeds: What an image encoder sees in the first frame, (videos, 1, D), or more of the same.
        picture: Latents (videos, C, h, w) of the first frame, as the autoencoder makes them, or more of the same.
        fps: Frames a second, (videos,) or more of the same; motion and noise_augmentation likewise.
        motion: How much moves.
        noise_augmentation: How much noise is on the first frame.
        videos: How many videos the frames are of.
    """
    seen = x.unflatten(0, (videos, -1))
    first = picture[:videos, None].expand(-1, seen.shape[1], -1, -1, -1)
    # It was trained with one frame a second less.
    told = torch.stack([fps - 1, motion, noise_augmentation], dim=1)[:videos]
    output: Tensor = network(
        torch.cat([seen, first], dim=2),
        time.unflatten(0, (videos, -1))[:, 0],
        embeds[:videos],
        told.to(x),
        return_dict=False,
    )[0]
    return output.flatten(0, 1)


def set_norms_as_trained(network: nn.Module) -> None:
    """Set all norms of residual blocks to 1e-5; Diffusers has 1e-6 in those beside attention."""
    for block in network.modules():
        if isinstance(block, SpatioTemporalResBlock):
            for norm in block.modules():
                if isinstance(norm, nn.GroupNorm):
                    norm.eps = 1e-5
