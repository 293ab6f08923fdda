"""Put the trained parts together into one Diffusers folder in half precision."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer
from unet import sampling_schedule


def write_slow_vocabulary(tokenizer_folder: Path) -> None:
    """Add `vocab.json` and `merges.txt`, the older form of `tokenizer.json`, for tools that read only those."""
    model = json.loads((tokenizer_folder / "tokenizer.json").read_text("utf-8"))["model"]
    (tokenizer_folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), "utf-8")
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (tokenizer_folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", "utf-8")


def forget_sources(folder: Path) -> None:
    """Take out of the configurations where the parts were loaded from."""
    for file in folder.rglob("*.json"):
        config = json.loads(file.read_text("utf-8"))
        if config.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def main() -> None:
    """Write the folder beside its place first, then swap it in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", type=Path, required=True, help="vae folder")
    parser.add_argument("--text", type=Path, required=True, help="folder with tokenizer and text_encoder")
    parser.add_argument("--unet", type=Path, required=True, help="unet folder")
    parser.add_argument("--safety", type=Path, required=True, help="folder with safety_checker and feature_extractor")
    parser.add_argument("--out", type=Path, required=True, help="Diffusers folder to write; other files in it stay")
    args = parser.parse_args()
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(args.vae),
        text_encoder=CLIPTextModel.from_pretrained(args.text / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(args.text / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(args.unet),
        scheduler=sampling_schedule(),
        safety_checker=StableDiffusionSafetyChecker.from_pretrained(args.safety / "safety_checker"),
        feature_extractor=CLIPImageProcessor.from_pretrained(args.safety / "feature_extractor"),
    ).to(torch.float16)
    fresh = args.out.with_name(args.out.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    if args.out.exists():
        shutil.copytree(args.out, fresh)
    pipeline.save_pretrained(fresh, safe_serialization=True)
    write_slow_vocabulary(fresh / "tokenizer")
    forget_sources(fresh)
    for file in fresh.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    old = args.out.with_name(args.out.name + ".old")
    if args.out.exists():
        args.out.rename(old)
    fresh.rename(args.out)
    shutil.rmtree(old, ignore_errors=True)
    size = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file())
    print(f"{args.out}: {size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
