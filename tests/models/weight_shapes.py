"""Names and shapes of the published models' tensors, made from their few sizes, and files that hold only a header."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Shapes = dict[str, tuple[int, ...]]
_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "I64": 8, "F8_E4M3": 1}


def write_header(
    path: Path, shapes: Mapping[str, Sequence[int]], *, dtype: str = "F16", metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a safetensors file whose data area is one hole: all values read as zero, and it takes no space."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name, shape in shapes.items():
        end = start + math.prod(shape) * _BYTES[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    header = json.dumps(entries).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + start)
    return path


def ldm_unet(
    *,
    widths: Sequence[int],
    depths: Sequence[int],
    mid_depth: int | None,
    cross: int,
    layers: int = 2,
    linear: bool = False,
    channels: int = 4,
    added: int = 0,
) -> Shapes:
    """Tensors of a UNet in the CompVis naming, without prefix."""
    shapes: Shapes = {}
    time = widths[0] * 4

    def affine(name: str, *shape: int) -> None:
        shapes[name + ".weight"] = shape
        shapes[name + ".bias"] = shape[:1]

    def norm(name: str, width: int) -> None:
        affine(name, width)

    def residual(name: str, source: int, target: int) -> None:
        norm(name + ".in_layers.0", source)
        affine(name + ".in_layers.2", target, source, 3, 3)
        affine(name + ".emb_layers.1", target, time)
        norm(name + ".out_layers.0", target)
        affine(name + ".out_layers.3", target, target, 3, 3)
        if source != target:
            affine(name + ".skip_connection", target, source, 1, 1)

    def attention(name: str, width: int, depth: int) -> None:
        kernel = () if linear else (1, 1)
        norm(name + ".norm", width)
        affine(name + ".proj_in", width, width, *kernel)
        for index in range(depth):
            block = f"{name}.transformer_blocks.{index}"
            for attn, source in (("attn1", width), ("attn2", cross)):
                shapes[f"{block}.{attn}.to_q.weight"] = (width, width)
                shapes[f"{block}.{attn}.to_k.weight"] = (width, source)
                shapes[f"{block}.{attn}.to_v.weight"] = (width, source)
                affine(f"{block}.{attn}.to_out.0", width, width)
            affine(f"{block}.ff.net.0.proj", width * 8, width)
            affine(f"{block}.ff.net.2", width, width * 4)
            for number in (1, 2, 3):
                norm(f"{block}.norm{number}", width)
        affine(name + ".proj_out", width, width, *kernel)

    affine("time_embed.0", time, widths[0])
    affine("time_embed.2", time, time)
    if added:
        affine("label_emb.0.0", time, added)
        affine("label_emb.0.2", time, time)
    affine("input_blocks.0.0", widths[0], channels, 3, 3)
    skips, width, index = [widths[0]], widths[0], 1
    for level, target in enumerate(widths):
        for _ in range(layers):
            residual(f"input_blocks.{index}.0", width, target)
            if depths[level]:
                attention(f"input_blocks.{index}.1", target, depths[level])
            width, index = target, index + 1
            skips.append(width)
        if level < len(widths) - 1:
            affine(f"input_blocks.{index}.0.op", width, width, 3, 3)
            index += 1
            skips.append(width)
    if mid_depth is not None:
        residual("middle_block.0", width, width)
        attention("middle_block.1", width, mid_depth)
        residual("middle_block.2", width, width)
    index = 0
    for level in reversed(range(len(widths))):
        for layer in range(layers + 1):
            residual(f"output_blocks.{index}.0", width + skips.pop(), widths[level])
            width = widths[level]
            if depths[level]:
                attention(f"output_blocks.{index}.1", width, depths[level])
            if level and layer == layers:
                affine(f"output_blocks.{index}.{2 if depths[level] else 1}.conv", width, width, 3, 3)
            index += 1
    norm("out.0", widths[0])
    affine("out.2", 4, widths[0], 3, 3)
    return shapes


def ldm_vae(*, widths: Sequence[int] = (128, 256, 512, 512), layers: int = 2, latent: int = 4) -> Shapes:
    """Tensors of a VAE in the CompVis naming, without prefix."""
    shapes: Shapes = {}

    def affine(name: str, *shape: int) -> None:
        shapes[name + ".weight"] = shape
        shapes[name + ".bias"] = shape[:1]

    def residual(name: str, source: int, target: int) -> None:
        affine(name + ".norm1", source)
        affine(name + ".conv1", target, source, 3, 3)
        affine(name + ".norm2", target)
        affine(name + ".conv2", target, target, 3, 3)
        if source != target:
            affine(name + ".nin_shortcut", target, source, 1, 1)

    def middle(side: str) -> None:
        width = widths[-1]
        residual(f"{side}.mid.block_1", width, width)
        affine(f"{side}.mid.attn_1.norm", width)
        for name in ("q", "k", "v", "proj_out"):
            affine(f"{side}.mid.attn_1.{name}", width, width, 1, 1)
        residual(f"{side}.mid.block_2", width, width)

    affine("encoder.conv_in", widths[0], 3, 3, 3)
    source = widths[0]
    for level, width in enumerate(widths):
        for layer in range(layers):
            residual(f"encoder.down.{level}.block.{layer}", source, width)
            source = width
        if level < len(widths) - 1:
            affine(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    middle("encoder")
    affine("encoder.norm_out", widths[-1])
    affine("encoder.conv_out", latent * 2, widths[-1], 3, 3)
    affine("decoder.conv_in", widths[-1], latent, 3, 3)
    middle("decoder")
    source = widths[-1]
    for level in reversed(range(len(widths))):
        for layer in range(layers + 1):
            residual(f"decoder.up.{level}.block.{layer}", source, widths[level])
            source = widths[level]
        if level:
            affine(f"decoder.up.{level}.upsample.conv", source, source, 3, 3)
    affine("decoder.norm_out", widths[0])
    affine("decoder.conv_out", 3, widths[0], 3, 3)
    affine("quant_conv", latent * 2, latent * 2, 1, 1)
    affine("post_quant_conv", latent, latent, 1, 1)
    return shapes


def clip(width: int = 768, layers: int = 12, *, tokens: int = 49_408, projection: int = 0) -> Shapes:
    """Tensors of a CLIP text encoder in transformers' naming."""
    stem = "text_model."
    shapes: Shapes = {
        stem + "embeddings.token_embedding.weight": (tokens, width),
        stem + "embeddings.position_embedding.weight": (77, width),
    }
    for index in range(layers):
        layer = f"{stem}encoder.layers.{index}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= {f"{layer}self_attn.{name}.weight": (width, width), f"{layer}self_attn.{name}.bias": (width,)}
        shapes |= {layer + "mlp.fc1.weight": (width * 4, width), layer + "mlp.fc1.bias": (width * 4,)}
        shapes |= {layer + "mlp.fc2.weight": (width, width * 4), layer + "mlp.fc2.bias": (width,)}
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{layer}{name}.weight": (width,), f"{layer}{name}.bias": (width,)}
    shapes |= {stem + "final_layer_norm.weight": (width,), stem + "final_layer_norm.bias": (width,)}
    if projection:
        shapes["text_projection.weight"] = (projection, width)
    return shapes


def openclip(width: int = 1024, layers: int = 24) -> Shapes:
    """Tensors of an OpenCLIP text encoder in its own naming."""
    shapes: Shapes = {
        "positional_embedding": (77, width),
        "text_projection": (width, width),
        "token_embedding.weight": (49_408, width),
    }
    for index in range(layers):
        layer = f"transformer.resblocks.{index}."
        shapes |= {layer + "attn.in_proj_weight": (width * 3, width), layer + "attn.in_proj_bias": (width * 3,)}
        shapes |= {layer + "attn.out_proj.weight": (width, width), layer + "attn.out_proj.bias": (width,)}
        shapes |= {layer + "mlp.c_fc.weight": (width * 4, width), layer + "mlp.c_fc.bias": (width * 4,)}
        shapes |= {layer + "mlp.c_proj.weight": (width, width * 4), layer + "mlp.c_proj.bias": (width,)}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"{layer}{name}.weight": (width,), f"{layer}{name}.bias": (width,)}
    shapes |= {"ln_final.weight": (width,), "ln_final.bias": (width,)}
    return shapes


UNETS: dict[str, dict[str, Any]] = {
    "sd1": {"widths": (320, 640, 1280, 1280), "depths": (1, 1, 1, 0), "mid_depth": 1, "cross": 768},
    "sd2": {"widths": (320, 640, 1280, 1280), "depths": (1, 1, 1, 0), "mid_depth": 1, "cross": 1024, "linear": True},
    "sdxl": {
        "widths": (320, 640, 1280), "depths": (0, 2, 10), "mid_depth": 10, "cross": 2048, "linear": True, "added": 2816,
    },
    "sdxl_refiner": {
        "widths": (384, 768, 1536, 1536), "depths": (0, 4, 4, 0), "mid_depth": 4, "cross": 1280, "linear": True,
        "added": 2560,
    },
}  # fmt: skip


def prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def checkpoint(variant: str, **changes: Any) -> Shapes:
    """All tensors of a single-file checkpoint of one variant."""
    unet = ldm_unet(**{**UNETS[variant], **changes})
    encoders = {
        "sd1": prefixed("cond_stage_model.transformer.", clip()),
        "sd2": prefixed("cond_stage_model.model.", openclip()),
        "sdxl": prefixed("conditioner.embedders.0.transformer.", clip())
        | prefixed("conditioner.embedders.1.model.", openclip(1280, 32)),
        "sdxl_refiner": prefixed("conditioner.embedders.0.model.", openclip(1280, 32)),
    }[variant]
    return prefixed("model.diffusion_model.", unet) | prefixed("first_stage_model.", ldm_vae()) | encoders
