"""Full-size Stable Diffusion 1.5 and SDXL with random weights, as Diffusers folders in float16, made on the device."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

import graphflow
from tests.models.tiny import TEXT, TEXT_2, UNET, UNET_XL, VAE

Family = Literal["sd", "sdxl"]

ASSETS = Path(graphflow.__file__).parent / "assets"
CONFIGS = Path(__file__).parent / "configs"
_CONFIGS: dict[Family, str] = {"sd": "sd1", "sdxl": "sdxl"}
_TINY: dict[Family, dict[str, dict[str, Any]]] = {
    "sd": {"unet": UNET, "vae": VAE, "text_encoder": TEXT},
    "sdxl": {"unet": UNET_XL, "vae": VAE, "text_encoder": TEXT, "text_encoder_2": TEXT_2},
}
TEXT_LAYERS = 2
"""Layers of the text encoders: prompts are encoded once, so the others would only take time to write."""


def write(folder: Path, family: Family, device: str, *, tiny: bool) -> Path:
    """Write a model; the tiny ones are for the CPU.

    Args:
        folder: Where to; made.
        family: Which.
        device: Where the numbers are drawn.
        tiny: Whether to leave almost everything out.
    """
    configs = CONFIGS / _CONFIGS[family]
    folder.mkdir(parents=True)
    shutil.copy(configs / "model_index.json", folder)
    shutil.copytree(configs / "scheduler", folder / "scheduler")
    for part, small in _TINY[family].items():
        config = {**json.loads((configs / part / "config.json").read_text("utf-8"))}
        config |= small if tiny else {"num_hidden_layers": TEXT_LAYERS} if part.startswith("text") else {}
        module = _module(part, config).half().to_empty(device=device)
        _draw(module, torch.Generator(device).manual_seed(0))
        module.save_pretrained(folder / part)
        if part.startswith("text"):
            shutil.copytree(ASSETS / "shapes" / "tokenizer", folder / part.replace("text_encoder", "tokenizer"))
    return folder


def _module(part: str, config: dict[str, Any]) -> Any:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device("meta"):
        match part:
            case "unet":
                return UNet2DConditionModel.from_config(config)
            case "vae":
                return AutoencoderKL.from_config(config)
            case "text_encoder":
                return CLIPTextModel(CLIPTextConfig(**config))
            case _:
                return CLIPTextModelWithProjection(CLIPTextConfig(**config))


def _draw(module: nn.Module, generator: torch.Generator) -> None:
    """Numbers with which activations keep their size: half precision is then tried as trained weights try it."""
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            if tensor.ndim > 1:
                tensor.normal_(0.0, tensor[0].numel() ** -0.5, generator=generator)
            else:
                tensor.fill_(1.0 if name.endswith("weight") else 0.0)
