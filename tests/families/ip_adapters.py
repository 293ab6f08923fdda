"""IP-Adapters of random weights, and models with them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow import nodes
from graphflow.loading.manager import ModelManager
from graphflow.values import Image, Model
from tests.families.controls import random, seeded
from tests.models.tiny_manager import make_manager

Weights = Mapping[str, Mapping[str, Tensor]]


def weights(unet: Any, kind: str, image_width: int, seed: int = 11) -> Weights:
    """Random weights of an IP-Adapter in the layout in which they are published."""
    generator = torch.Generator().manual_seed(seed)
    cross = int(unet.config.cross_attention_dim)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 0.3

    layers = [unet.get_submodule(name.removesuffix(".processor")) for name in unet.attn_processors if "attn2" in name]
    attention = {}
    for index, layer in enumerate(layers):
        for letter in "kv":
            attention[f"{2 * index + 1}.to_{letter}_ip.weight"] = noise(layer.to_k.out_features, cross)
    if kind == "plain":
        projection = {
            "proj.weight": noise(4 * cross, image_width),
            "proj.bias": noise(4 * cross),
            "norm.weight": 1 + noise(cross),
            "norm.bias": noise(cross),
        }
    elif kind == "full":
        projection = {
            "proj.0.weight": noise(image_width, image_width),
            "proj.0.bias": noise(image_width),
            "proj.2.weight": noise(cross, image_width),
            "proj.2.bias": noise(cross),
            "proj.3.weight": 1 + noise(cross),
            "proj.3.bias": noise(cross),
        }
    else:
        hidden = 64
        projection = {
            "latents": noise(1, 3, hidden),
            "proj_in.weight": noise(hidden, image_width),
            "proj_in.bias": noise(hidden),
            "proj_out.weight": noise(cross, hidden),
            "proj_out.bias": noise(cross),
            "norm_out.weight": 1 + noise(cross),
            "norm_out.bias": noise(cross),
        }
        for depth in range(4):
            block = f"layers.{depth}"
            for norm in ("0.norm1", "0.norm2", "1.0"):
                projection |= {f"{block}.{norm}.weight": 1 + noise(hidden), f"{block}.{norm}.bias": noise(hidden)}
            projection |= {
                f"{block}.0.to_q.weight": noise(64, hidden),
                f"{block}.0.to_kv.weight": noise(128, hidden),
                f"{block}.0.to_out.weight": noise(hidden, 64),
                f"{block}.1.1.weight": noise(4 * hidden, hidden),
                f"{block}.1.3.weight": noise(hidden, 4 * hidden),
            }
    return {"image_proj": projection, "ip_adapter": attention}


def as_xlabs_published(text: int = 24, inner: int = 64, blocks: int = 2, *, seed: int = 3) -> dict[str, Tensor]:
    """Random weights of a FLUX.1 IP-Adapter for a transformer of these widths."""
    projection = {"proj.weight": (4 * text, 24), "proj.bias": (4 * text,), "norm.weight": (text,), "norm.bias": (text,)}
    sizes = {f"ip_adapter_proj_model.{name}": size for name, size in projection.items()}
    for block, letter in product(range(blocks), "kv"):
        layer = f"double_blocks.{block}.processor.ip_adapter_double_stream_{letter}_proj"
        sizes |= {f"{layer}.weight": (inner, text), f"{layer}.bias": (inner,)}
    return {name: random(*size, seed=seed + number) * 0.3 for number, (name, size) in enumerate(sizes.items())}


def vision() -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(4)
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=24,
    )
    return CLIPVisionModelWithProjection(config).eval().requires_grad_(False)


WIDTH = {"plain": 24, "plus": 32, "full": 32}


def write(root: Path, name: str, state: Weights) -> None:
    (root / "ipadapter").mkdir(exist_ok=True)
    flat = {f"{part}.{key}": tensor for part, tensors in state.items() for key, tensor in tensors.items()}
    save_file(flat, root / "ipadapter" / f"{name}.safetensors")


def manager_with(root: Path, **adapters: Weights) -> ModelManager:
    vision().save_pretrained(root / "clip_vision" / "eye")
    for name, state in adapters.items():
        write(root, name, state)
    return make_manager(root)


def applied(base: Model, name: str, image: Image, **more: Any) -> Model:
    return nodes.apply_ip_adapter(base, nodes.load_ip_adapter(name), nodes.load_image_encoder("eye"), image, **more)


def pictures(count: int = 1, seed: int = 21) -> Image:
    # The encoder's own size: how pictures are resized differs between versions of transformers.
    return Image(pixels=torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed)))


def flux() -> Any:
    from diffusers import FluxTransformer2DModel

    sizes = {"attention_head_dim": 32, "num_attention_heads": 2, "axes_dims_rope": [4, 14, 14]}
    return seeded(
        FluxTransformer2DModel(
            **sizes,
            joint_attention_dim=24,
            pooled_projection_dim=12,
            guidance_embeds=True,
            num_layers=2,
            num_single_layers=1,
        )
    )
