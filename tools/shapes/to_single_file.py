"""Write a Diffusers folder of the Stable Diffusion 1 family as one file in the original (LDM) layout.

Works for any number of levels and layers per level. The configurations, scheduler and tokenizer travel as JSON
under `graphflow.config` in the file's metadata, since tensors alone do not tell head counts, norm groups or the
prediction type.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Weights = dict[str, torch.Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_key(key: str, config: dict[str, Any]) -> str:
    """Name in the original layout of a tensor of UNet2DConditionModel."""
    layers = int(config["layers_per_block"])
    for ours, theirs in _UNET_TOP.items():
        if key.startswith(ours + "."):
            return theirs + key[len(ours) :]
    if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", key):
        part, index, rest = match[1], int(match[2]), match[3]
        if part == "resnets":
            return f"middle_block.{2 * index}.{_renamed(rest, _RESNET)}"
        return f"middle_block.{2 * index + 1}.{rest}"
    match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", key)
    if match is None:
        raise ValueError(f"unknown UNet tensor {key!r}")
    level, part, index, rest = int(match[2]), match[3], int(match[4]), match[5]
    block = (
        f"input_blocks.{1 + level * (layers + 1) + index}"
        if match[1] == "down"
        else (f"output_blocks.{level * (layers + 1) + index}")
    )
    if part == "resnets":
        return f"{block}.0.{_renamed(rest, _RESNET)}"
    if part == "attentions":
        return f"{block}.1.{rest}"
    if part == "downsamplers":
        return f"input_blocks.{(level + 1) * (layers + 1)}.0.op.{rest.removeprefix('conv.')}"
    place = 2 if "CrossAttn" in config["up_block_types"][level] else 1
    return f"output_blocks.{level * (layers + 1) + layers}.{place}.{rest}"


def vae_key(key: str, config: dict[str, Any]) -> str:
    """Name in the original layout of a tensor of AutoencoderKL."""
    levels = len(config["block_out_channels"])
    key = key.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    if match := re.fullmatch(r"(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d+)\.(.+)", key):
        half, part, number, rest = match[1], match[2], int(match[3]) + 1, match[4]
        if part == "resnets":
            return f"{half}.mid.block_{number}.{rest}"
        return f"{half}.mid.attn_{number}.{_renamed(rest, _VAE_ATTENTION)}"
    if match := re.fullmatch(r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", key):
        half, way, part, index, rest = match[1], match[2], match[4], match[5], match[6]
        level = int(match[3]) if way == "down" else levels - 1 - int(match[3])
        place = f"block.{index}" if part == "resnets" else f"{way}sample"
        return f"{half}.{way}.{level}.{place}.{rest}"
    return key


def _renamed(rest: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        if rest.startswith(ours + "."):
            return theirs + rest[len(ours) :]
    raise ValueError(f"unknown layer {rest!r}")


def convert(folder: Path) -> tuple[Weights, dict[str, str]]:
    """Tensors in the original layout, and the metadata, of a Diffusers folder."""
    configs = {
        part: json.loads((folder / part / "config.json").read_text("utf-8")) for part in ("unet", "vae", "text_encoder")
    }
    weights: Weights = {}
    for key, tensor in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        weights["model.diffusion_model." + unet_key(key, configs["unet"])] = tensor
    for key, tensor in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        name = vae_key(key, configs["vae"])
        is_attention = ".attn_" in name and ".norm." not in name and name.endswith("weight")
        weights["first_stage_model." + name] = tensor[..., None, None] if is_attention else tensor
    for key, tensor in load_file(folder / "text_encoder" / "model.safetensors").items():
        # transformers 5 writes the keys without this prefix, earlier versions with it.
        weights["cond_stage_model.transformer.text_model." + key.removeprefix("text_model.")] = tensor
    tokenizer = json.loads((folder / "tokenizer" / "tokenizer.json").read_text("utf-8"))["model"]
    details = {
        **configs,
        "scheduler": json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8")),
        "tokenizer": {
            "config": json.loads((folder / "tokenizer" / "tokenizer_config.json").read_text("utf-8")),
            "vocab": tokenizer["vocab"],
            "merges": [m if isinstance(m, str) else " ".join(m) for m in tokenizer["merges"]],
        },
    }
    return weights, {"format": "pt", "graphflow.config": json.dumps(details, ensure_ascii=False)}


def compare(folder: Path, file: Path) -> float:
    """Largest difference between parts that Diffusers reads back from the file and those of the folder."""
    from diffusers import StableDiffusionPipeline

    given = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    read = StableDiffusionPipeline.from_single_file(
        str(file), config=str(folder), local_files_only=True, torch_dtype=torch.float32
    )
    worst = 0.0
    for part in ("unet", "vae", "text_encoder"):
        theirs = getattr(read, part).state_dict()
        for key, tensor in getattr(given, part).state_dict().items():
            worst = max(worst, float((tensor.float() - theirs[key].float()).abs().max()))
    return worst


def main() -> None:
    """Convert, and on request read the file back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="Diffusers folder")
    parser.add_argument("--out", type=Path, required=True, help="file to write (.safetensors)")
    parser.add_argument("--check", action="store_true", help="read the file with Diffusers and compare every tensor")
    args = parser.parse_args()
    weights, metadata = convert(args.model)
    save_file({k: v.contiguous() for k, v in weights.items()}, args.out, metadata)
    print(f"{args.out}: {len(weights)} tensors, {args.out.stat().st_size / 2**20:.2f} MiB")
    if args.check:
        print(f"largest difference after reading back: {compare(args.model, args.out)}")


if __name__ == "__main__":
    main()
