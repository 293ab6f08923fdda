"""Stable Video Diffusion's autoencoder in a file, as its authors have it."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLTemporalDecoder
from safetensors.torch import save_file
from torch import Tensor

_RENAMED = (
    (".mid_block.attentions.0.", ".mid.attn_1."), ("to_out.0", "proj_out"), ("group_norm", "norm"),
    ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("conv_norm_out", "norm_out"), ("conv_shortcut", "nin_shortcut"),
    ("decoder.time_conv_out", "decoder.conv_out.time_mix_conv"), ("time_mixer.mix_factor", "mix_factor"),
    ("temporal_res_block.norm1", "time_stack.in_layers.0"), ("temporal_res_block.conv1", "time_stack.in_layers.2"),
    ("temporal_res_block.norm2", "time_stack.out_layers.0"), ("temporal_res_block.conv2", "time_stack.out_layers.3"),
    ("spatial_res_block.", ""), ("mid_block.resnets.0", "mid.block_1"), ("mid_block.resnets.1", "mid.block_2"),
    ("encoder.down_blocks.", "encoder.down."), ("downsamplers.0", "downsample"), ("upsamplers.0", "upsample"),
    ("decoder.up_blocks.0", "decoder.up.1_"), ("decoder.up_blocks.1", "decoder.up.0"), ("up.1_", "up.1"),
    ("resnets", "block"),
)  # fmt: skip
"""Diffusers' names to those of the authors, for two levels; the order counts."""


def _original(name: str) -> str:
    for new, old in _RENAMED:
        name = name.replace(new, old)
    return name


def temporal_vae() -> AutoencoderKLTemporalDecoder:
    """A tiny one of random weights, the same each time."""
    torch.manual_seed(3)
    return AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 64), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 2
    ).eval()


def write_temporal_vae(path: Path) -> dict[str, Tensor]:
    """Write it, and return its tensors by their names in the file."""
    tensors = {f"first_stage_model.{_original(name)}": tensor for name, tensor in temporal_vae().state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return tensors
