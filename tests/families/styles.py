"""A style projector of random weights, and an image encoder with layers enough for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def style_projector(makes: int, *, reads: int = 4, tokens: int = 3, width: int = 32) -> dict[str, Tensor]:
    """Random weights of USO's projector as they were published."""
    generator = torch.Generator().manual_seed(6)
    found: dict[str, Tensor] = {}
    for level in ("high", "mid", "low"):
        layers = {"embedding_linear.0": (tokens, reads), "layer_norm": (width,), "projection": (makes, width)}
        for name, shape in layers.items():
            for kind, size in (("weight", shape), ("bias", shape[:1])):
                found[f"feature_embedder.{level}_{name}.{kind}"] = torch.randn(size, generator=generator) * 0.5
    return found


def seer() -> Any:
    """A SigLIP of twenty layers that sees four squares."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    torch.manual_seed(4)
    config = SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=20, num_attention_heads=2, image_size=28, patch_size=14
    )
    return SiglipVisionModel(config).eval().requires_grad_(False)
