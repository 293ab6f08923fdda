"""Stable Video Diffusion's autoencoder beside Diffusers, from a file in the layout of its authors."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLTemporalDecoder
from safetensors.torch import save_file

from graphflow import node
from graphflow.document.document import Document
from graphflow.session import Session
from graphflow.settings import RootSetting, Settings
from graphflow.spec import registry
from graphflow.values import Latent

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


@node("some_frames")
def some_frames() -> Latent:
    """Return three frames."""
    return Latent(samples=torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1)))


def _original(name: str) -> str:
    for new, old in _RENAMED:
        name = name.replace(new, old)
    return name


def test_frames_are_decoded_together_as_diffusers_decodes_them(tmp_path: Path) -> None:
    torch.manual_seed(3)
    plain = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 64), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 2
    ).eval()
    (tmp_path / "vae").mkdir()
    tensors = {f"first_stage_model.{_original(name)}": tensor for name, tensor in plain.state_dict().items()}
    save_file(tensors, tmp_path / "vae" / "svd_vae.safetensors")
    nodes = {
        "vae": {"type": "load_vae", "params": {"model": "svd_vae"}},
        "frames": {"type": "some_frames"},
        "video": {"type": "vae_decode", "links": {"vae": "vae", "latent": "frames"}},
    }
    document = Document.model_validate({"graphflow": 2, "nodes": nodes, "outputs": {"video": "video"}})
    settings = Settings(models=(RootSetting(path=tmp_path),), cache_dir=tmp_path / "cache", device="cpu", dtype="float32", offline=True)  # fmt: skip
    known = registry.installed().with_nodes((some_frames,), pack="frames")
    pixels = Session(settings, known=known).run(document).outputs["video"].pixels
    with torch.inference_mode():
        wanted = plain.decode(some_frames().samples, num_frames=3).sample
    assert torch.allclose(pixels, (wanted / 2 + 0.5).clamp(0, 1), atol=1e-5)
