"""LayerDiffuse's decoder (Zhang and Agrawala 2024, arXiv:2402.17113): colours and transparency of a latent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D, get_down_block, get_up_block
from torch import Tensor, nn
from torch.nn import functional

from graphflow.basics.inference import inference
from graphflow.vision.networks import VisionNetwork

_HALVINGS = 3
"""Blocks before which the latent comes in: each sample of it is 8 pixels wide."""


class TransparencyDecoder(nn.Module):  # type: ignore[misc]  # torch is not followed
    """A UNet from a picture and its latent to alpha and colours, made of Diffusers' blocks.

    Args:
        widths: Channels of its blocks.
        attending: From which block on they attend.
    """

    def __init__(self, widths: Sequence[int], attending: int) -> None:
        super().__init__()
        shared: dict[str, Any] = {
            "resnet_eps": 1e-5, "resnet_act_fn": "silu", "resnet_groups": 4, "attention_head_dim": 8, "resnet_time_scale_shift": "default",
        }  # fmt: skip
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.latent_conv_in = nn.Conv2d(4, widths[_HALVINGS - 1], 1)
        self.down_blocks = nn.ModuleList(
            get_down_block(
                "AttnDownBlock2D" if index >= attending else "DownBlock2D", num_layers=2, in_channels=widths[max(0, index - 1)],
                out_channels=width, temb_channels=None, add_downsample=index < last, downsample_padding=1, downsample_type="conv", **shared,
            )
            for index, width in enumerate(widths)
        )  # fmt: skip
        self.mid_block = UNetMidBlock2D(
            in_channels=widths[-1],
            temb_channels=None,
            resnet_eps=1e-5,
            resnet_act_fn="silu",
            attention_head_dim=8,
            resnet_groups=4,
        )
        self.up_blocks = nn.ModuleList(
            get_up_block(
                "AttnUpBlock2D" if index >= attending else "UpBlock2D", num_layers=3, in_channels=widths[max(0, index - 1)],
                out_channels=widths[index], prev_output_channel=widths[min(last, index + 1)], temb_channels=None, add_upsample=index > 0,
                upsample_type="conv", **shared,
            )
            for index in range(last, -1, -1)
        )  # fmt: skip
        self.conv_norm_out = nn.GroupNorm(num_channels=widths[0], num_groups=4, eps=1e-5)
        self.conv_out = nn.Conv2d(widths[0], 4, 3, padding=1)

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> TransparencyDecoder:
        """The network whose weights these are.

        Raises:
            KeyError: They are those of another network.
        """
        count = len({name.split(".")[1] for name in tensors if name.startswith("down_blocks.")})
        widths = [len(tensors[f"down_blocks.{index}.resnets.0.conv1.weight"]) for index in range(count)]
        attending = [index for index in range(count) if f"down_blocks.{index}.attentions.0.to_q.weight" in tensors]
        return cls(widths, min(attending, default=count))

    @property
    def multiple(self) -> int:
        """What edges in pixels are multiples of."""
        return int(2 ** (len(self.down_blocks) - 1))

    def forward(self, pixels: Tensor, latent: Tensor) -> Tensor:
        """From (B, 3, H, W) in [0, 1] and (B, 4, H / 8, W / 8) to alpha and colours (B, 4, H, W)."""
        told = self.latent_conv_in(latent)
        sample = self.conv_in(pixels)
        kept = (sample,)
        for index, block in enumerate(self.down_blocks):
            if index == _HALVINGS:
                sample = sample + told
            sample, further = block(hidden_states=sample, temb=None)
            kept += further
        sample = self.mid_block(sample, None)
        for block in self.up_blocks:
            count = len(block.resnets)
            sample = block(sample, kept[-count:], None)
            kept = kept[:-count]
        found: Tensor = self.conv_out(functional.silu(self.conv_norm_out(sample)))
        return found


@inference
def colours_and_alpha(network: VisionNetwork, pixels: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Decode transparency as the paper's authors do: the median over all turns and reflections.

    Args:
        network: A `TransparencyDecoder`.
        pixels: What the autoencoder made of the latents, (B, 3, H, W) in [0, 1].
        samples: The latents, (B, 4, H / 8, W / 8).

    Returns:
        Colours (B, 3, H, W) and alpha (B, H, W), both in [0, 1], 1 = opaque.
    """
    height, width = pixels.shape[-2:]
    below, beside = -height % network.module.multiple, -width % network.module.multiple
    pixels = functional.pad(pixels, (0, beside, 0, below), mode="replicate")
    samples = functional.pad(samples, (0, beside // 8, 0, below // 8), mode="replicate")
    seen = []
    for mirrored in (False, True):
        for turns in range(4):
            given = [part.flip(3) if mirrored else part for part in (pixels, samples)]
            turned = [part.rot90(turns, (2, 3)).to(network.device) for part in given]
            made = network.module(*turned).clamp(0, 1).cpu().rot90(-turns, (2, 3))
            seen.append(made.flip(3) if mirrored else made)
    median = torch.stack(seen).median(dim=0).values[..., :height, :width]
    return median[:, 1:], median[:, 0]
